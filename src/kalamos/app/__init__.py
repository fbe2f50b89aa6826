"""`kalamos app`: the HTTP API, and the page above it. Needs `pip install 'kalamos[app]'`."""
