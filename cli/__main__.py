"""Entry point of `./brokerctl`."""

import os
import sys

if __name__ == "__main__":
    # `./brokerctl` runs this file by its path, so that modules in the working directory are not
    # imported.
    sys.path[0] = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))  # noqa: PTH100, PTH120 (pathlib takes 20 ms to load)
    # Looking for plugins reads the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")

    from cli.app import main

    main()
