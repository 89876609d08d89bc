"""Certificates made by the very recipe of docs/security.md."""

import pathlib
import re
import subprocess

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs/security.md"
DOMAIN = "spiffe://example.org/gptvq/"
RECIPE, _, REVOCATION_RECIPE, TOKEN_RECIPE = re.findall(r"^```sh\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
DEADLINE_SECONDS = 600


def shell(script, directory):
    done = subprocess.run(["bash", "-euc", script], cwd=directory, check=False, capture_output=True, text=True,
                          timeout=DEADLINE_SECONDS)
    assert done.returncode == 0, done.stderr


class Authority:
    """What signs certificates, below `base`. A folder of `certificates` for each name: authority, coordinator, worker-1 and
    alice by the recipe, further ones by issue()."""

    def __init__(self, base):
        self.base = pathlib.Path(base)
        self.certificates = self.base / "tls"
        self.base.mkdir(parents=True, exist_ok=True)
        shell(RECIPE, self.base)

    def issue(self, name, names, usage="clientAuth", when=None):
        """One more certificate by the recipe's own function, as if it were `when`; it lasts 30 days."""
        function = re.search(r"^issue\(\) \{.*?; \}$", RECIPE, re.MULTILINE | re.DOTALL)[0]
        clock = f"openssl() {{ faketime '{when}' /usr/bin/openssl \"$@\"; }}\n" if when else ""
        shell(f"umask 077; mkdir -p tls/{name}\n{clock}{function}\nissue {name} {usage} '{names}'", self.base)
        return self.certificates / name

    def revoke(self, name):
        """The file of revocation lists, in which the certificate now is."""
        shell(REVOCATION_RECIPE.replace("alice/", name + "/"), self.base)
        return self.certificates / "authority/revoked.pem"


def point(link, target):
    """Exchanges what stands behind a symbolic link at once, as Kubernetes does for mounted secrets."""
    new = link.parent / f"{link.name}.new"
    new.symlink_to(target)
    new.rename(link)
