"""The report: pages for a browser, also offline and without JavaScript; equal records give equal bytes."""
