"""Assignments: written once, released to students, graded in a sandbox, reported.

A folder `assignments/<part>/` has a master notebook, a judge and known wrong answers; `assignments/README.md` says how
to write them, the book's page "Teaching with this book" how to run them. The command line is `python -m
m2m.assignments`.
"""
