"""What every test of the program does alike is done once per process."""

from done_once import do_once

do_once()
