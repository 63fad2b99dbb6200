"""What is particular to some kinds of mail."""

from typing import Final

DIGESTS: Final = frozenset({"key_expiring", "key_expired"})
"""Of all the keys of one company that one recipient has to hear of; bound to notices, and true only while they are."""

ABOUT_A_KEY: Final = DIGESTS | {"key_created", "key_expiry_changed", "key_revoked", "key_rotated"}
"""About the security of a key: a second mail is better than none."""

KEYS_TOLD: Final = 25
"""How many keys one mail lists, the first to expire first; of the others it says how many they are. Mail programs cut
off what is beyond 100 kB, and a key takes 3."""
