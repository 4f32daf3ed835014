"""From recorded cells to tables and figures beside the paper's numbers; reads files only and imports no torch, environment or method."""
