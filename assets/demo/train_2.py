"""Learns to tell two spirals apart, with nothing but the standard library."""
import math
import random

import afterlog

LR = afterlog.arg("lr", 0.05)
EPOCHS = afterlog.arg("epochs", 10)
HIDDEN = afterlog.arg("hidden", 16)
random.seed(afterlog.arg("seed", 7))


def make_spirals(count):
    points = []
    for i in range(count):
        label = i % 2
        radius = i / count
        angle = 4.0 * radius + math.pi * label
        noise = random.gauss(0.0, 0.04)
        points.append((radius * math.cos(angle) + noise, radius * math.sin(angle) + noise, label))
    random.shuffle(points)
    return points


class Net:
    """Two inputs, one hidden layer of tanh units, one logistic output."""

    def __init__(self, hidden):
        self.w1 = [[random.gauss(0.0, 1.0) for _ in range(2)] for _ in range(hidden)]
        self.b1 = [0.0] * hidden
        self.w2 = [random.gauss(0.0, 0.5) for _ in range(hidden)]
        self.b2 = 0.0

    def forward(self, x, y):
        hidden = [math.tanh(w[0] * x + w[1] * y + b) for w, b in zip(self.w1, self.b1)]
        logit = sum(w * h for w, h in zip(self.w2, hidden)) + self.b2
        return hidden, 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


class Sgd:
    """Stochastic gradient descent, one point at a time."""

    def __init__(self, model, lr):
        self.model = model
        self.lr = lr
        self.grad_norm = 0.0

    def step(self, x, y, label):
        model = self.model
        hidden, p = model.forward(x, y)
        error = p - label
        squared = error * error
        for j, h in enumerate(hidden):
            back = error * model.w2[j] * (1.0 - h * h)
            squared += (error * h) ** 2 + back * back * (x * x + y * y + 1.0)
            model.w2[j] -= self.lr * error * h
            model.w1[j][0] -= self.lr * back * x
            model.w1[j][1] -= self.lr * back * y
            model.b1[j] -= self.lr * back
        model.b2 -= self.lr * error
        self.grad_norm = math.sqrt(squared)
        return -math.log(max(1e-12, p if label else 1.0 - p))


def evaluate(model, points):
    correct = sum((model.forward(x, y)[1] > 0.5) == bool(label) for x, y, label in points)
    return correct / len(points)


train_set = make_spirals(6000)
test_set = make_spirals(400)
model = Net(HIDDEN)
optimizer = Sgd(model, LR)
best = 0.0

with afterlog.checkpointing(model=model, optimizer=optimizer):
    for epoch in afterlog.loop("epoch", range(EPOCHS)):
        order = random.sample(range(len(train_set)), len(train_set))
        running = 0.0
        for step, i in enumerate(afterlog.loop("step", order)):
            x, y, label = train_set[i]
            loss = optimizer.step(x, y, label)
            running += loss
            if step % 500 == 0:
                afterlog.log("loss", loss)
        afterlog.log("train_loss", running / len(train_set))
        accuracy = evaluate(model, test_set)
        best = max(best, accuracy)
        afterlog.log("val_acc", accuracy)

afterlog.log("best_acc", best)
