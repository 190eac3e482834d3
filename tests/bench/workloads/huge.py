"""Huge state, tiny compute: half a gigabyte of embeddings, of which each step touches a few rows."""
import time

import torch
from torch import nn

EPOCHS = 10
STEPS = 300
ROWS = 1_000_000

torch.manual_seed(0)
users, items = nn.Embedding(ROWS, 64), nn.Embedding(ROWS, 64)
projection = nn.Linear(64, 64)
optimizer = torch.optim.Adam(projection.parameters(), lr=1e-3)
for table in (users, items):
    table.weight.requires_grad = False
begun = time.perf_counter(), time.process_time()
for epoch in range(EPOCHS):
    for step in range(STEPS):
        user, item = torch.randint(ROWS, (2, 1024))
        score = (projection(users(user)) * items(item)).sum(1)
        loss = (score - 1).pow(2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        # The rows learn by their own rule, in place.
        users.weight[user] *= 0.999
        items.weight[item] *= 0.999
    print("loss", loss.item())
print("loop", time.perf_counter() - begun[0], time.process_time() - begun[1])
