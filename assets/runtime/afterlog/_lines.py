"""Puts the lines that a script prints into the journal, so that each has a position. The text stands in the kept output too."""

#: Of a longer line the beginning is kept.
_LONGEST = 4096
#: Of a run that prints more than this in all, the lines that come later have no position.
_MOST = 32 << 20


class Budget:
    """What all streams may write together."""

    def __init__(self, journal):
        self.journal, self.left = journal, _MOST


class Lines:
    """Told of every write to one stream; ``number`` is 1 for standard output, 2 for standard error."""

    def __init__(self, budget, number):
        self._budget, self._number = budget, number
        #: What the line that is being written has so far.
        self._parts, self._length = [], 0

    def __call__(self, text):
        if "\n" not in text:
            self._begin(text)
            return
        first, *whole, begun = text.split("\n")
        self._begin(first)
        line, self._parts, self._length = "".join(self._parts), [], 0
        self._end(line)
        for line in whole:
            self._end(line)
        if begun:
            self._begin(begun)

    def _begin(self, text):
        at = text.rfind("\r", 0, -1)
        if at >= 0 or self._parts and self._parts[-1].endswith("\r") and text:
            # A progress bar drawn anew: what stood there is overwritten.
            text, self._parts, self._length = text[at + 1 :], [], 0
        if self._length < _LONGEST and text:
            self._parts.append(text[: _LONGEST - self._length])
            self._length += len(text)

    def _end(self, line):
        line = line.rstrip("\r")
        line = line[line.rfind("\r") + 1 :][:_LONGEST]
        budget = self._budget
        if not line or line.isspace() or budget.left < 0:
            return
        data = line.encode("utf-8", "replace")
        budget.left -= len(data)
        if budget.left < 0:
            budget.journal.note("lines printed after the first %d MiB have no position" % (_MOST >> 20))
            return
        budget.journal.line(self._number, data)
