.PHONY: help setup up down test browser lint faults bench leak simulate mutants replay docker kubernetes

help:
	@echo 'make setup   .venv with galerist, and the programs it runs'
	@echo 'make up      a cluster of three nodes, etcd and HAProxy on this machine'
	@echo 'make down    end it'
	@echo 'make test    all tests but the long ones'
	@echo 'make browser the web page in a real browser; installs Chromium, its driver and axe-core if they are missing'
	@echo 'make lint    style, types, layers'
	@echo 'make faults ROUNDS=20 SEED=1   killing and cutting the real parts in network namespaces, after other long tests (root)'
	@echo 'make simulate N=10000 SEED=1   the protocol against random schedules of faults'
	@echo 'make mutants  SEED=1   wrong variants of the protocol, which the simulation must catch'
	@echo 'make replay LOG=round-0.events   the log of a fault round against the model, which must accept it'
	@echo 'make docker  the images, the compose file and the units on a dockerd of its own (root)'
	@echo 'make kubernetes  the registry, the manifests and real pods on a real Kubernetes, which is built first (root)'
	@echo 'make bench   speed and size against a bare script'
	@echo 'make leak REQUESTS=1000000   a million requests at the health endpoint, and no more memory'

setup:
	@scripts/setup

up: setup
	@.venv/bin/galerist up --detach $(ARGS)

down:
	@.venv/bin/galerist down $(ARGS)

test: setup
	.venv/bin/python -m pytest -m 'not slow and not browser and not docker and not kubernetes' -n 2 --dist loadscope --no-loadscope-reorder --durations=15 $(ARGS)

browser:
	@scripts/setup browser
	.venv/bin/python -m pytest -m browser tests/dashboard $(ARGS)

docker: setup
	scripts/setup-docker
	.venv/bin/python -m pytest -m docker --timeout=1800 tests/docker --durations=15 $(ARGS)

kubernetes: setup
	scripts/setup-docker
	scripts/setup-kubernetes
	.venv/bin/python -m pytest -m kubernetes -n 2 --dist loadscope --no-loadscope-reorder tests/kubernetes --durations=15 $(ARGS)

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy
	.venv/bin/lint-imports
	.venv/bin/check-jsonschema --quiet --builtin-schema vendor.compose-spec images/compose.yaml

faults: setup
	GALERIST_ROUNDS=$(ROUNDS) .venv/bin/python -m pytest -m slow tests/faults tests/clustercheck tests/cli tests/monitoring -s
	.venv/bin/python -m tests.faults --rounds $(or $(ROUNDS),20) $(if $(SEED),--seed $(SEED)) $(ARGS)

bench: setup
	.venv/bin/python -m pytest -m slow tests/benchmarks -s $(ARGS)

leak: setup
	BENCH_LEAK=$(or $(REQUESTS),1000000) .venv/bin/python -m pytest -m slow tests/benchmarks/test_clustercheck.py -k no_leak -s $(ARGS)

N = 10000
SEED = 1

simulate: setup
	.venv/bin/python -m tests.simulation --n $(N) --seed $(SEED)

mutants: setup
	.venv/bin/python -m tests.simulation.mutants --seed $(SEED)

replay: setup
	.venv/bin/python -m tests.simulation.replay $(LOG)
