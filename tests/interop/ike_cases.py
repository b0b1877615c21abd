"""Cases of IKE that run side by side, each in namespaces of its own; a test waits for its case.

    CASES = Cases(__file__)
    outcomes = CASES.outcomes()

    @CASES.both_roles
    def psk(sites, role): ...

    @pytest.mark.parametrize("name", CASES)
    def test_ike(outcomes, name):
        outcomes[name].result(300)
"""
import concurrent.futures
import functools
import os
import pathlib
import shutil

import pytest

from harness import require
from ike_sites import PSK, Sites, config, merge


class Outcome:
    """Of a case that has begun. Who asks once more has it run once more."""

    def __init__(self, begin):
        self._begin = begin
        self._future = begin("")

    def result(self, seconds):
        future = self._future or self._begin("again")
        self._future = None
        return future.result(seconds)


class Cases(dict):
    def __init__(self, file, root=None):
        """`root`: of another strongSwan than this machine's."""
        super().__init__()
        self.file, self.root = pathlib.Path(file).name, root

    def case(self, function):
        self[function.__name__] = function
        return function

    def both_roles(self, function):
        """The case is told who begins: winze ("client"), or strongSwan."""
        for role in ("client", "gateway"):
            self[f"{function.__name__}-{role}"] = lambda sites, role=role: function(sites, role)
        return function

    def outcomes(self):
        """A fixture: the outcomes of the cases that are wanted, by name."""

        @pytest.fixture(scope="module")
        def outcomes(request, tmp_path_factory):
            require(os.geteuid() == 0 and os.path.exists("/dev/net/tun"), "not root, or no /dev/net/tun")
            require(shutil.which("iperf3"), "iperf3 is not installed")
            wanted = [item.callspec.params["name"] for item in request.session.items
                      if item.fspath.basename == self.file and "name" in getattr(getattr(item, "callspec", None), "params", {})]
            stem = pathlib.Path(self.file).stem.removeprefix("test_").replace("_", "")
            folder = tmp_path_factory.mktemp(stem)

            def run(number, name, again):
                with Sites(f"{stem}{number}{again}", folder, self.root) as sites:
                    self[name](sites)

            with concurrent.futures.ThreadPoolExecutor(8) as pool:
                yield {name: Outcome(functools.partial(pool.submit, run, number, name)) for number, name in enumerate(wanted)}

        return outcomes


def bring_up(sites, role, near, far, near_pki=None, far_pki=None, near_others=None, far_others=None, **swan):
    """The tunnel of two connections, by whoever begins it."""
    near_text = config({"home": near}, **merge({"secrets": PSK}, near_others or {}))
    far_text = config({"home": far}, **merge({"secrets": PSK}, far_others or {}))
    if role == "gateway":
        sites.start_winze("gateway", near_text, near_pki)
        sites.start_swan(far_text, far_pki, **swan).ctl("--initiate", "--child", "net")
        sites.wait_winze("child net up")
    else:
        sites.start_swan(far_text, far_pki, **swan)
        sites.start_winze("client", near_text, near_pki)
        sites.wait_winze("child net up")
