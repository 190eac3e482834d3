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


class Momentum:
    """Gradient descent with a heavy ball: every row of weights has a row of velocities."""

    def __init__(self, model, lr, decay):
        self.model = model
        self.lr = lr
        self.decay = decay
        rows = model.first.weights + model.second.weights + [model.first.bias, model.second.bias, model.out]
        self.rows = [(row, [0.0] * len(row)) for row in rows]
        self.grad_norm = 0.0

    def step(self, x, y, label):
        model = self.model
        a, b, p = model.forward(x, y)
        error = p - label
        back_b = [error * w * (1.0 - v * v) for w, v in zip(model.out, b)]
        back_a = [(1.0 - v * v) * sum(g * row[i] for g, row in zip(back_b, model.second.weights)) for i, v in enumerate(a)]
        gradients = [[g * x, g * y] for g in back_a] + [[g * v for v in a] for g in back_b]
        gradients += [back_a, back_b, [error * v for v in b]]
        squared = 0.0
        for (row, velocity), gradient in zip(self.rows, gradients):
            for i, g in enumerate(gradient):
                velocity[i] = self.decay * velocity[i] - self.lr * g
                row[i] += velocity[i]
                squared += g * g
        model.bias -= self.lr * error
        self.grad_norm = math.sqrt(squared + error * error)
        return -math.log(max(1e-12, p if label else 1.0 - p))


def evaluate(model, points):
    correct = sum((model.forward(x, y)[-1] > 0.5) == bool(label) for x, y, label in points)
    return correct / len(points)


def train_epoch(model, optimizer, points, order):
    running = 0.0
    for step, i in enumerate(afterlog.loop("step", order)):
        x, y, label = points[i]
        loss = optimizer.step(x, y, label)
        running += loss
        if step % 500 == 0:
            afterlog.log("loss", loss)
    return running / len(points)


def main():
    lr = afterlog.arg("lr", 0.02)
    epochs = afterlog.arg("epochs", 10)
    random.seed(afterlog.arg("seed", 7))
    train_set = make_spirals(4000)
    test_set = make_spirals(400)
    model = Net(afterlog.arg("hidden", 12))
    optimizer = Momentum(model, lr, afterlog.arg("decay", 0.8))
    best = 0.0

    with afterlog.checkpointing(model=model, optimizer=optimizer):
        for epoch in afterlog.loop("epoch", range(epochs)):
            order = random.sample(range(len(train_set)), len(train_set))
            train_loss = train_epoch(model, optimizer, train_set, order)
            afterlog.log("train_loss", train_loss)
            accuracy = evaluate(model, test_set)
            best = max(best, accuracy)
            afterlog.log("val_acc", accuracy)
            afterlog.log("grad_norm", optimizer.grad_norm)
    afterlog.log("best_acc", best)


if __name__ == "__main__":
    main()
