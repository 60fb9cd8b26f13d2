#!/bin/sh
# Origins of several servers, killed, stopped, slowed and brought back while load runs: tests/clients/origins_load.py tells the story.
exec python3 "$(dirname "$0")/origins_load.py"
