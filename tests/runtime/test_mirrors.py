"""Reading the machine's own Debian mirrors from both formats of apt sources."""
import os

from tools.lib.runtime.mirrors import deb822_sources, machine_mirrors, one_line_sources


def write(folder, name, text):
    path = os.path.join(str(folder), name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        file.write(text)


def test_one_line_options_with_spaces_and_trailing_comment():
    text = "deb [ arch=amd64 signed-by=/k.gpg ] http://m.test/debian bookworm main contrib # home\n"
    assert one_line_sources(text) == [(["http://m.test/debian"], ["bookworm"],
                                       ["main", "contrib"])]


def test_one_line_ignores_source_lines_comments_and_broken_options():
    text = ("# deb http://a.test/debian bookworm main\ndeb-src http://b.test/debian bookworm main\n"
            "deb [arch=amd64 http://c.test/debian bookworm main\n")
    assert one_line_sources(text) == []


def test_deb822_comment_inside_stanza_and_continuation_lines():
    text = ("Types: deb\n# URIs: http://commented.test/debian\nURIs: http://a.test/debian\n "
            "http://b.test/debian\n"
            "Suites: bookworm bookworm-updates\nComponents: main\n")
    (uris, suites, components), = deb822_sources(text)
    assert uris == ["http://a.test/debian", "http://b.test/debian"]
    assert suites == ["bookworm", "bookworm-updates"] and components == ["main"]


def test_deb822_disabled_and_source_only_stanzas_do_not_count():
    text = ("Enabled: no\nTypes: deb\nURIs: http://off.test/debian\nSuites: bookworm\nComponents: "
            "main\n\n"
            "Types: deb-src\nURIs: http://src.test/debian\nSuites: bookworm\nComponents: main\n")
    assert deb822_sources(text) == []


def test_machine_mirrors_reads_both_formats_and_puts_security_last(tmp_path):
    write(tmp_path, "sources.list", "deb http://old.test/debian/ bookworm main\n")
    write(tmp_path, "sources.list.d/debian.sources",
          "Types: deb\nURIs: http://new.test/debian-security\nSuites: "
          "bookworm-security\nComponents: main\n\n"
          "Types: deb\nURIs: http://new.test/debian\nSuites: bookworm\nComponents: main\n")
    write(tmp_path, "sources.list.d/again.list",
          "deb http://old.test/debian bookworm-updates main\n")
    assert machine_mirrors(str(tmp_path)) == [
        "http://old.test/debian", "http://new.test/debian", "http://new.test/debian-security"]


def test_flat_archives_discs_other_components_and_switched_off_files_do_not_count(tmp_path):
    write(tmp_path, "sources.list",
          "deb http://flat.test/repo ./\ndeb cdrom:[Debian]/ bookworm main\ndeb http://node.test/x "
          "nodistro extra\n")
    write(tmp_path, "sources.list.d/other.list.disabled",
          "deb http://off.test/debian bookworm main\n")
    assert machine_mirrors(str(tmp_path)) == []


def test_machine_without_apt_has_no_mirrors(tmp_path):
    assert machine_mirrors(str(tmp_path / "none")) == []
