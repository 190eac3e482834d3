"""A convolutional network trained with Adam on made-up digits."""
import time

import torch
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, TensorDataset

EPOCHS = 10


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.first = nn.Conv2d(1, 16, 3)
        self.second = nn.Conv2d(16, 32, 3)
        self.dropout = nn.Dropout(0.25)
        self.hidden = nn.Linear(32 * 12 * 12, 128)
        self.output = nn.Linear(128, 10)

    def forward(self, images):
        features = functional.relu(self.second(functional.relu(self.first(images))))
        features = self.dropout(torch.flatten(functional.max_pool2d(features, 2), 1))
        return self.output(functional.relu(self.hidden(features)))


torch.manual_seed(0)
images = torch.randn(2400, 1, 28, 28)
labels = (images.mean((1, 2, 3)) * 100).long().remainder(10)
loader = DataLoader(TensorDataset(images[:2000], labels[:2000]), batch_size=64, shuffle=True)
model = Net()
optimizer = torch.optim.Adam(model.parameters(), lr=1e-3)
scheduler = torch.optim.lr_scheduler.StepLR(optimizer, 1, 0.9)
begun = time.perf_counter(), time.process_time()
for epoch in range(EPOCHS):
    model.train()
    for batch, (x, y) in enumerate(loader):
        optimizer.zero_grad()
        loss = functional.cross_entropy(model(x), y)
        loss.backward()
        optimizer.step()
        if batch % 10 == 0:
            print("loss", loss.item())
    scheduler.step()
    model.eval()
    with torch.no_grad():
        accuracy = (model(images[2000:]).argmax(1) == labels[2000:]).float().mean()
    print("accuracy", accuracy.item())
print("loop", time.perf_counter() - begun[0], time.process_time() - begun[1])
