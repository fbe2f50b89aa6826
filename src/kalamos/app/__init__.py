"""`kalamos app`: the HTTP API (`pip install 'kalamos[api]'`), and the page above it (`kalamos[app]`)."""
