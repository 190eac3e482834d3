"""Many tiny epochs: full-batch training of a small perceptron."""
import time

import torch
from torch import nn

EPOCHS = 4000

torch.manual_seed(0)
x = torch.randn(256, 16)
y = x[:, :1].sin()
model = nn.Sequential(nn.Linear(16, 64), nn.Tanh(), nn.Linear(64, 64), nn.Tanh(), nn.Linear(64, 1))
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
loss_function = nn.MSELoss()
history = []
begun = time.perf_counter(), time.process_time()
for epoch in range(EPOCHS):
    for part in range(0, 256, 64):
        optimizer.zero_grad()
        loss = loss_function(model(x[part : part + 64]), y[part : part + 64])
        loss.backward()
        optimizer.step()
    history.append(loss.item())
    if epoch % 10 == 0:
        print("loss", loss.item())
print("loop", time.perf_counter() - begun[0], time.process_time() - begun[1])
