"""UpsertStream from the client's side: batches, what is under way, resuming, and the two kinds of calls.

Only the calls know sockets, threads and event loops; the rest is told what happened and says what is to be done.
"""
