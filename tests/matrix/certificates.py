"""A certificate authority of the matrix's own, by openssl, that issues what a careful one would not."""

import pathlib
import shutil
import subprocess
import uuid

DOMAIN = "spiffe://example.org/gptvq/"


class Authority:
    """Folders of cert.pem, key.pem and ca.pem under a directory. Thread-safe, for different names."""

    def __init__(self, root):
        self.root = pathlib.Path(root)
        (self.root / "authority").mkdir(parents=True)
        self._openssl("req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "3650",
                      "-subj", "/CN=authority", "-addext", "basicConstraints=critical,CA:TRUE", "-addext",
                      "keyUsage=critical,keyCertSign,cRLSign", "-keyout", "authority/key.pem", "-out", "authority/ca.pem")

    def _openssl(self, *words, prefix=()):
        subprocess.run([*prefix, "openssl", *words], cwd=self.root, check=True, capture_output=True, timeout=60,
                       stdin=subprocess.DEVNULL)

    def issue(self, name, *roles, names=None, usage="clientAuth", when=None, common_name=None):
        """A certificate with the URIs of `roles` ("client/alice"), or with other alternative names; as if it were `when`."""
        folder = self.root / name
        folder.mkdir()
        alternatives = names if names is not None else ",".join(f"URI:{DOMAIN}{role}" for role in roles)
        (folder / "extensions").write_text(
            "basicConstraints=critical,CA:FALSE\nauthorityKeyIdentifier=keyid\nkeyUsage=critical,digitalSignature\n"
            f"extendedKeyUsage={usage}\n" + (f"subjectAltName={alternatives}\n" if alternatives else ""))
        prefix = ("faketime", when) if when else ()
        self._openssl("req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj",
                      "/CN=" + (common_name or name).replace("/", "\\/"), "-keyout", f"{name}/key.pem", "-out",
                      f"{name}/request.pem")
        self._openssl("x509", "-req", "-in", f"{name}/request.pem", "-CA", "authority/ca.pem", "-CAkey",
                      "authority/key.pem", "-set_serial", str(uuid.uuid4().int), "-days", "30", "-extfile",
                      f"{name}/extensions", "-out", f"{name}/cert.pem", prefix=prefix)
        shutil.copy(self.root / "authority/ca.pem", folder / "ca.pem")
        (folder / "key.pem").chmod(0o600)
        return folder

    def revoke(self, name):
        """A revocation list that names one certificate."""
        (self.root / "ca.conf").write_text("[ca]\ndefault_ca=here\n[here]\ndatabase=index\ncrlnumber=number\n"
                                           "default_md=sha256\ndefault_crl_days=30\n")
        (self.root / "index").touch()
        (self.root / "number").write_text("01\n")
        words = ["ca", "-config", "ca.conf", "-cert", "authority/ca.pem", "-keyfile", "authority/key.pem"]
        self._openssl(*words, "-revoke", f"{name}/cert.pem")
        self._openssl(*words, "-gencrl", "-out", "revoked.pem")
        return self.root / "revoked.pem"

    @staticmethod
    def flags(folder):
        return [word for flag, file in (("--tls-cert", "cert.pem"), ("--tls-key", "key.pem"), ("--tls-ca", "ca.pem"))
                for word in (flag, str(folder / file))]
