"""The curve P-256 (SP 800-186, section 3.2.1.3; SEC 2 calls it secp256r1)."""

from plug.crypto.arithmetic import Curve
from plug.crypto.table import Table

P = 2**256 - 2**224 + 2**192 + 2**96 - 1
N = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
_B = 0x5AC635D8AA3A93E7B3EBBD55769886BC651D06B0CC53B0F63BCE3C3E27D2604B

_TABLE = Table("p256_table.bin", "f75fb2f9634da2d0348b9dbf788caf4afca51fc89372943552c3d5754d9ea550")
CURVE = Curve(P, (1, 0, 32, 1024, 8), True, -3, _B, N, _TABLE)
