"""An HTTP server for tests whose queue holds a burst: the standard library's five are reset where a busy machine accepts late."""

from http.server import ThreadingHTTPServer


class Threaded(ThreadingHTTPServer):
    """As its parent, for clients that open many connections at once."""

    request_queue_size = 128
