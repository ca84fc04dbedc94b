# mypy: ignore-errors
"""An object whose state is made by warm."""


class Counter:
    weights = None

    def warm(self):
        self.weights = [1, 2, 3]
        self.calls = 0

    def get_predict_args(self):
        return {}

    def predict(self, **kwargs):
        self.calls += 1
        return {"sum": sum(self.weights), "calls": self.calls}


plugin = Counter()
