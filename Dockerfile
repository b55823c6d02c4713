# docker build -t makertaker . && docker run --rm makertaker
# docker run --rm -v "$PWD/runs:/work/runs" makertaker makertaker train acas --out runs/acas
FROM python:3.11-slim
WORKDIR /work
# the small build, which has no GPU libraries; pip leaves it as it is
RUN pip install --no-cache-dir torch==2.13.0 --index-url https://download.pytorch.org/whl/cpu
COPY constraints.txt pyproject.toml setup.py README.md LICENSE /source/
COPY envs /source/envs
COPY baselines /source/baselines
COPY training /source/training
RUN pip install --no-cache-dir -c /source/constraints.txt "/source[train,jax]" supersuit
CMD ["makertaker", "scenarios"]
