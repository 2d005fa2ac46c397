"""The web site: projects, uploads, a queue of runs, and their results in the browser.

`kinefit web` starts it. Pages are Django's, the work is `kinefit.api.process` in a child process,
and everything that a user gives lies in one folder (`KINEFIT_WEB_FOLDER`) beside the database.
"""
