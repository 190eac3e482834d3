"""Learns to tell two spirals apart, with nothing but the standard library."""
import math
import random

import afterlog


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


class Layer:
    """A dense layer with tanh."""

    def __init__(self, inputs, outputs):
        scale = 1.0 / math.sqrt(inputs)
        self.weights = [[random.gauss(0.0, scale) for _ in range(inputs)] for _ in range(outputs)]
        self.bias = [0.0] * outputs

    def forward(self, values):
        return [math.tanh(sum(w * v for w, v in zip(row, values)) + b) for row, b in zip(self.weights, self.bias)]


class Net:
    """Two inputs, two hidden layers, one logistic output."""

    def __init__(self, hidden):
        self.first = Layer(2, hidden)
        self.second = Layer(hidden, hidden // 2)
        self.out = [random.gauss(0.0, 0.5) for _ in range(hidden // 2)]
        self.bias = 0.0

    def forward(self, x, y):
        a = self.first.forward([x, y])
        b = self.second.forward(a)
        logit = sum(w * v for w, v in zip(self.out, b)) + self.bias
        return a, b, 1.0 / (1.0 + math.exp(-max(-60.0, min(60.0, logit))))


class Sgd:
    """Stochastic gradient descent, one point at a time."""

    def __init__(self, model, lr):
        self.model = model
        self.lr = lr
        self.grad_norm = 0.0

    def step(self, x, y, label):
        model = self.model
        a, b, p = model.forward(x, y)
        error = p - label
        squared = error * error
        back_b = [error * w * (1.0 - v * v) for w, v in zip(model.out, b)]
        back_a = [0.0] * len(a)
        for j, g in enumerate(back_b):
            row = model.second.weights[j]
            squared += g * g + (error * b[j]) ** 2
            model.out[j] -= self.lr * error * b[j]
            for i, v in enumerate(a):
                back_a[i] += g * row[i] * (1.0 - v * v)
                row[i] -= self.lr * g * v
            model.second.bias[j] -= self.lr * g
        for j, g in enumerate(back_a):
            squared += g * g * (x * x + y * y + 1.0)
            model.first.weights[j][0] -= self.lr * g * x
            model.first.weights[j][1] -= self.lr * g * y
            model.first.bias[j] -= self.lr * g
        model.bias -= self.lr * error
        self.grad_norm = math.sqrt(squared)
        return -math.log(max(1e-12, p if label else 1.0 - p))


def evaluate(model, points):
    correct = sum((model.forward(x, y)[-1] > 0.5) == bool(label) for x, y, label in points)
    return correct / len(points)


def main():
    lr = afterlog.arg("lr", 0.1)
    epochs = afterlog.arg("epochs", 10)
    random.seed(afterlog.arg("seed", 7))
    train_set = make_spirals(4000)
    test_set = make_spirals(400)
    model = Net(afterlog.arg("hidden", 12))
    optimizer = Sgd(model, lr)
    best = 0.0

    with afterlog.checkpointing(model=model, optimizer=optimizer):
        for epoch in afterlog.loop("epoch", range(epochs)):
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


if __name__ == "__main__":
    main()
