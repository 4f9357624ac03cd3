"""Fine-tuning over HTTP: files, jobs, and the models that come of them, in a folder that outlives the server.

The folder holds `state.db` with the rows, `files/` with what was uploaded or made, `jobs/ID/` where a job works, and
`models/ID/` with what it has made. Web workers write rows and read them; the process that trains (`serving.trainer`)
claims jobs. Whatever belongs to one key is not there for the others.
"""
