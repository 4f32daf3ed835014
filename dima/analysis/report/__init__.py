"""The report: pages to read in a browser, offline and without JavaScript too, whose bytes depend on the
records alone.
"""
