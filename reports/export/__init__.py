"""The report as files: frames, tables, SARIF and one page. Pure functions of a Report."""
