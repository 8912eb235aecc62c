// Windows and metrics: `make bench`. One thread, the clock simulated; real time measured.
measureWindows()
measureComparison()
measureLabelSets()
measureExposition()
measureLine()
print("(\(sink & 1))")
