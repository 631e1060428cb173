"""Imports: lists of people, received as CSV or a spreadsheet, whose rows are processed as submissions."""
