"""Is a place that a person names used whatever it is called, named when it fails, and never made or overwritten?"""

import stat
from collections.abc import Iterator
from pathlib import Path

import pytest
from command import Home, one_sentence
from small_disk import Ballast, mounted

ODD = "a\x1b[2J\udcff.db"  # what speaks to a terminal, and a byte that is not UTF-8
SHOWN = "a‹001B›[2J‹DCFF›.db"


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 2 MB."""
    with mounted(tmp_path / "disk", megabytes=2) as made:
        yield made


def on(disk: Path, home: Home) -> dict[str, str]:
    """A copy of the home's store on that disk, for the command."""
    store = disk / "keydesk.db"
    store.write_bytes(home.store.read_bytes())
    store.chmod(0o600)
    return {"KEYDESK_STORE_LOCATION": str(store)}


@pytest.mark.parametrize("more", [None, 0])
def test_a_backup_onto_a_full_disk_names_that_disk_and_what_it_needs(home: Home, disk: Path, more: int | None) -> None:
    (pages,) = home.sql("SELECT page_count - freelist_count FROM pragma_page_count, pragma_freelist_count")[0]
    size, ballast = int(str(pages)) * 4096, Ballast(disk)
    free = 0 if more is None else size + more
    ballast.load(leave=free)

    said = home.keydesk("backup", disk / "copy.db")

    assert one_sentence(home, said.status, said.err) == (
        f"The disk of {disk} is full: about {size + 131072:,} bytes are needed there, {free:,} are free; "
        "nothing was changed. Free some space and try again."
    )
    assert [path.name for path in disk.iterdir()] == ["ballast"]
    ballast.throw_off()
    assert home.keydesk("backup", disk / "copy.db").status == 0


@pytest.mark.parametrize(("more", "only_looked_at"), [(None, True), (0, False), (4096, True)])
def test_a_restore_into_a_full_disk_names_that_disk_and_not_the_backup(
    home: Home, disk: Path, more: int | None, only_looked_at: bool
) -> None:
    backup, ballast = home.path / "kept.db", Ballast(disk)
    assert home.keydesk("backup", backup).status == 0
    place, size = on(disk, home), backup.stat().st_size
    ballast.load(leave=0 if more is None else size + more)

    said = home.keydesk("restore", backup, *(["--check"] if only_looked_at else []), **place)

    told = one_sentence(home, said.status, said.err)
    assert told.startswith(f"The disk of {disk} is full: about {size + 131072:,} bytes are needed there, ")
    assert told.endswith(" are free; nothing was changed. Free some space and try again.")
    ballast.throw_off()
    assert list(disk.glob(".restoring-*")) == []
    assert home.keydesk("events", "verify", **place).status == 0
    assert home.keydesk("restore", backup, **place).status == 0


def test_what_is_wrong_with_a_backup_is_one_line(home: Home) -> None:
    backup = home.path / "kept.db"
    assert home.keydesk("backup", backup).status == 0
    (root,) = home.sql("SELECT rootpage FROM sqlite_master WHERE name = 'company_user'")[0]
    with backup.open("r+b") as file:
        file.seek((int(str(root)) - 1) * 4096 + 5)
        file.write(b"\0\1")

    said = home.keydesk("restore", backup, "--check")

    told = one_sentence(home, said.status, said.err)
    assert told.startswith("~/kept.db is not sound (*** in database main *** Tree ")
    assert told.endswith("); take another backup.")


def test_a_backup_goes_into_a_directory_that_is_there_and_makes_none(home: Home) -> None:
    said = home.keydesk("backup", home.path / "mistyped" / "copy.db")

    assert one_sentence(home, said.status, said.err) == (
        "There is no directory ~/mistyped; make it first, or mount what it is on."
    )
    assert not (home.path / "mistyped").exists()


@pytest.mark.parametrize("options", [(), ("--check",)])
def test_a_store_is_not_restored_from_itself_by_whatever_name(home: Home, options: tuple[str, ...]) -> None:
    link = home.path / "link.db"
    link.symlink_to(home.store)

    said = [home.keydesk("restore", path, *options) for path in (home.store, link)]

    assert [one_sentence(home, each.status, each.err) for each in said] == [
        "~/.local/share/keydesk/keydesk.db is the store itself; name a backup of it.",
        "~/link.db is the store itself; name a backup of it.",
    ]
    assert list(home.store.parent.glob("*before-restore*")) == []


def test_a_backup_may_have_any_name_and_none_speaks_to_the_terminal(home: Home) -> None:
    folder = home.path / "b\udcfe"
    folder.mkdir()

    made = home.keydesk("backup", folder / ODD, "--with-pepper")
    looked = home.keydesk("restore", folder / ODD, "--check")
    restored = home.keydesk("restore", folder / ODD)

    place = f"{home.path}/b‹DCFE›/{SHOWN}"
    assert (made.status, made.err, looked.status, looked.err) == (0, "", 0, "")
    assert stat.S_IMODE((folder / ODD).stat().st_mode) == 0o600
    assert made.out.splitlines()[0].startswith(f"{place} is a sound copy of {home.store} (")
    assert made.out.splitlines()[1].startswith(f"The pepper is in {place}.pepper: ")
    assert looked.out.startswith(f"{place} is sound: ")
    assert (restored.status, restored.err) == (0, "")
    assert f'"why":"from {SHOWN}"' in str(home.sql("SELECT after FROM event ORDER BY seq DESC LIMIT 1")[0][0])
    assert "\x1b" not in home.heard


def test_other_files_may_have_any_name_too(home: Home) -> None:
    (home.path / ODD).write_text("company,from,licences\nfjell-1001,2030-01-01,9\n", encoding="utf-8")

    imported = home.keydesk("import", home.path / ODD)
    written = home.keydesk("mail", "preview", "key_created", "--eml", home.path / f"{ODD}.eml")
    built = home.keydesk("demo", "--build-only", home.path / f"{ODD}.demo")

    assert (imported.status, imported.err) == (0, "")
    assert (written.status, written.out) == (0, f"{home.path}/{SHOWN}.eml is written.\n")
    assert one_sentence(home, built.status, built.err) == (
        f"~/{SHOWN}.demo has a name that a settings file cannot hold; name another folder."
    )
    assert "\x1b" not in home.heard
