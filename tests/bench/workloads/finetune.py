"""Fine-tuning: a new head on a frozen transformer of 85 MB."""
import time

import torch
from torch import nn
from torch.nn import functional

EPOCHS = 10
STEPS = 10


def evaluate(model, head, tokens, labels):
    with torch.no_grad():
        return (head(model(tokens).mean(1)).argmax(1) == labels).float().mean().item()


def main():
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(384, 6, 1536, dropout=0.0, batch_first=True)
    model = nn.Sequential(nn.Embedding(8000, 384), nn.TransformerEncoder(layer, 10, enable_nested_tensor=False))
    for parameter in model.parameters():
        parameter.requires_grad = False
    model.eval()
    head = nn.Sequential(nn.Linear(384, 256), nn.GELU(), nn.Linear(256, 4))
    optimizer = torch.optim.AdamW(head.parameters(), lr=1e-3)
    tokens = torch.randint(8000, (STEPS * 8, 32))
    labels = tokens.sum(1).remainder(4)
    begun = time.perf_counter(), time.process_time()
    for epoch in range(EPOCHS):
        order = torch.randperm(len(tokens))
        for step in range(STEPS):
            batch = order[step * 8 : step * 8 + 8]
            with torch.no_grad():
                features = model(tokens[batch]).mean(1)
            loss = functional.cross_entropy(head(features), labels[batch])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        print("loss", loss.item())
        print("accuracy", evaluate(model, head, tokens[:16], labels[:16]))
    print("loop", time.perf_counter() - begun[0], time.process_time() - begun[1])


main()
