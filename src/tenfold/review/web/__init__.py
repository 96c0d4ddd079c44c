"""The review page's server: routes, safety, blinded pixels. FastAPI and uvicorn live here and nowhere else."""
