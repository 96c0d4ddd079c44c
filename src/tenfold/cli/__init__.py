"""The command line: typer app, rich console and the one error panel."""
