"""Reports: finished run folders to typed contents, figures and self-contained HTML."""
