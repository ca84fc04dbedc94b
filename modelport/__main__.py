"""`python -m modelport` is the command `modelport`."""

import sys

from modelport.cli import main

sys.exit(main())
