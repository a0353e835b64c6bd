import pytest
from hypothesis import given
from hypothesis import strategies as st

from ikectl.config.parse import MAX_INCLUDES, parse_file, parse_text, parse_toml
from ikectl.config.tree import MAX_CHAIN, MAX_DEPTH, MAX_ERRORS, Errors, Section, from_vici
from ikectl.errors import ConfigErrors
from tests.config.trees import files_of


def plain(section: Section) -> dict[str, object]:
    values = {
        key: value.octets.decode() if value.items is None else [item.decode() for item in value.items]
        for key, value in section.values.items()
    }
    return values | {name: plain(child) for name, child in section.sections.items()}


def parsed(text: str) -> dict[str, object]:
    errors = Errors()
    section = parse_text(text, errors)
    errors.raise_any()
    return plain(section)


def toml(text: str) -> dict[str, object]:
    errors = Errors()
    section = parse_toml(text, errors)
    errors.raise_any()
    return plain(section)


def wrong(text: str, parse=parse_text) -> list[str]:
    errors = Errors()
    parse(text, errors)
    with pytest.raises(ConfigErrors) as caught:
        errors.raise_any()
    return str(caught.value).split("\n")


@pytest.mark.parametrize(
    ("text", "tree"),
    [
        ("", {}),
        ("# only a comment", {}),
        ("a = b", {"a": "b"}),
        ("a=b\r\nc = d\r\n", {"a": "b", "c": "d"}),
        ("a = b # comment", {"a": "b"}),
        ("a = b   c\t d", {"a": "b c d"}),
        ("a = x, y ,z", {"a": "x, y ,z"}),
        ("a = C=CH, O=x", {"a": "C=CH, O=x"}),
        ("a = {11}:x", {"a": "{11"}),
        ("a =", {}),
        ("s { a = b }", {"s": {"a": "b"}}),
        ("s{a=b}", {"s": {"a": "b"}}),
        ("s\n{\n a = b\n}", {"s": {"a": "b"}}),
        ("s { t { a = b } u { } }", {"s": {"t": {"a": "b"}, "u": {}}}),
        ("s { a = b } s { c = d\n a = e }", {"s": {"a": "e", "c": "d"}}),
        ("net.1 { a = b }", {"net.1": {"a": "b"}}),
        ('"my net" { a = b }', {"my net": {"a": "b"}}),
        ('a = "x # { } = y"', {"a": "x # { } = y"}),
        ('a = "x \\"y\\" \\\\ \\n"', {"a": 'x "y" \\ \n'}),
        ('a = "x\ny"\nb = c', {"a": "x\ny", "b": "c"}),
        ('a = "x\\\ny"', {"a": "xy"}),
        ('a = x "y z"', {"a": "x y z"}),
        ('include = 3\n"include" { b = c }', {"include": {"b": "c"}}),
    ],
)
def test_the_grammar_of_settings_files(text: str, tree: dict[str, object]) -> None:
    if text.startswith("a = {"):
        with pytest.raises(ConfigErrors):
            parsed(text)  # an unquoted brace closes something, as it does for swanctl
    elif text.startswith("include ="):
        errors = Errors()
        section = parse_text(text, errors)
        assert section.values["include"].octets == b"3"
        assert plain(section.sections["include"]) == {"b": "c"}
    else:
        assert parsed(text) == tree


def test_references_inherit_options_and_sections() -> None:
    tree = parsed(
        """
        connections {
          a : base, more {
            version = 2
            dpd_delay =
            children { a : child { x = own } }
          }
          b : connections.a { }
        }
        base { version = 1
               dpd_delay = 30s
               local { auth = psk }
               children { a { y = inherited } } }
        more { local { auth = pubkey
                       id = m } }
        child { x = base
                z = from-child }
        """
    )
    a = {
        "version": "2",
        "children": {"a": {"x": "own", "z": "from-child", "y": "inherited"}},
        "local": {"auth": "psk", "id": "m"},
    }
    assert tree["connections"] == {"a": a, "b": a}


def test_own_sections_come_before_inherited_ones() -> None:
    """The order decides over authentication rounds."""
    tree = parsed("a : base { local-2 { } }\nbase { local-1 { } }")
    assert list(tree["a"]) == ["local-2", "local-1"]  # type: ignore[call-overload]


@pytest.mark.parametrize(
    ("text", "errors"),
    [
        ("s : nowhere { }", ["swanctl.conf:1: s: there is no section 'nowhere' to refer to"]),
        ("s : s { }", ["swanctl.conf:1: s: the reference to 's' leads back to itself"]),
        ("a : b { }\nb : a { }", ["swanctl.conf:2: b: the reference to 'a' leads back to itself"]),
        ("a { b : a { } }", ["swanctl.conf:1: b: the reference to 'a' leads back to itself"]),
        ("s {\n a = b\n", ["swanctl.conf:1: s: the section is never closed; add a }"]),
        ("a = b\n}\n", ["swanctl.conf:2: a } closes nothing"]),
        ('\na = "x', ["swanctl.conf:2: a quoted string is never closed"]),
        ('s { a = "x', ["swanctl.conf:1: a quoted string is never closed"]),
        ("= x", ["swanctl.conf:1: unexpected '=' where a name should be"]),
        ("s : { }", ["swanctl.conf:1: expected the name of a section to refer to"]),
        (
            "lonely\nok = 1\nother word\n}",
            [
                "swanctl.conf:1: expected = and a value, or { and a section, after a name",
                "swanctl.conf:3: expected = and a value, or { and a section, after a name",
                "swanctl.conf:4: a } closes nothing",
            ],
        ),
        ("include x.conf", ["swanctl.conf:1: include: there is no file x.conf"]),
    ],
)
def test_every_mistake_is_found_with_its_line(text: str, errors: list[str]) -> None:
    assert wrong(text) == errors


def test_no_error_quotes_a_line() -> None:
    """It could be the rest of a secret."""
    text = 'secrets { ike { secret = "first\n" squeamish ossifrage"\n squeamish\n ossifrage : } }'
    assert "squeamish" not in "".join(wrong(text))
    assert "ossifrage" not in "".join(wrong(text))
    assert "squeamish" not in "".join(wrong('a = "squeamish\n\nb = = "squeamish', parse_toml))


def test_depth_and_chains_are_bounded() -> None:
    assert any("deep" in error for error in wrong("s {" * (MAX_DEPTH + 1) + "}" * (MAX_DEPTH + 1)))
    chain = "\n".join(f"s{n} : s{n + 1} {{ }}" for n in range(5000)) + "\ns5000 { }"
    assert any(f"more than {MAX_CHAIN} sections" in error for error in wrong(chain))
    assert any("deep" in error for error in wrong(".".join("a" * 3000) + " = 1", parse_toml))
    assert len(wrong("x\n" * 10_000)) == MAX_ERRORS + 1


def test_includes_are_relative_nested_and_inside_sections() -> None:
    files = files_of(
        {
            "/etc/swanctl.conf": "include conf.d/*.conf\nconnections {\n include one.inc\n}\n",
            "/etc/conf.d/a.conf": "secrets { ike-a { secret = x } }\ninclude ../b.conf",
            "/etc/conf.d/b.conf": "secrets { ike-a { id = y } }",
            "/etc/b.conf": "secrets { ike-b { secret = z } }",
            "/etc/one.inc": 'gw { version = 2 }\ninclude "two.inc"',
            "/etc/two.inc": "gw { encap = yes }",
        }
    )
    errors = Errors()
    section = parse_file("/etc/swanctl.conf", files, errors)
    assert not errors.found
    assert plain(section) == {
        "secrets": {"ike-a": {"secret": "x", "id": "y"}, "ike-b": {"secret": "z"}},
        "connections": {"gw": {"version": "2", "encap": "yes"}},
    }
    assert section.sections["connections"].sections["gw"].values["encap"].place == ("/etc/two.inc", 1)


def test_an_empty_conf_d_is_no_mistake() -> None:
    errors = Errors()
    parse_file("/etc/swanctl.conf", files_of({"/etc/swanctl.conf": "include conf.d/*.conf"}), errors)
    assert not errors.found


def test_includes_that_never_end_end() -> None:
    errors = Errors()
    parse_file("/etc/a.conf", files_of({"/etc/a.conf": "include a.conf"}), errors)
    assert [error.why for error in errors.found] == [f"includes nest deeper than {MAX_INCLUDES}"]


def test_what_cannot_be_read_is_said() -> None:
    errors = Errors()
    parse_file("/etc/a.conf", files_of({}), errors)
    parse_file("/etc/b.conf", files_of({"/etc/b.conf": b"a = b\nc = \xff"}), errors)
    assert [str(error) for error in errors.found] == [
        "/etc/a.conf: cannot read /etc/a.conf: No such file or directory",
        "/etc/b.conf:2: the text is not valid UTF-8",
    ]


def test_toml_is_the_same_tree() -> None:
    assert toml(
        """
        [connections."net.1"]   # a name with a dot
        version = 2
        encap = true
        remote_addrs = [
          "192.0.2.1",
          "192.0.2.2",
        ]
        local = { auth = "psk", id = "a" }
        children.x.mode = "tunnel"

        [secrets.ike-1]
        secret = '''
        two
        lines'''
        """
    ) == {
        "connections": {
            "net.1": {
                "version": "2",
                "encap": "yes",
                "remote_addrs": ["192.0.2.1", "192.0.2.2"],
                "local": {"auth": "psk", "id": "a"},
                "children": {"x": {"mode": "tunnel"}},
            }
        },
        "secrets": {"ike-1": {"secret": "        two\n        lines"}},
    }


def test_toml_values_know_their_lines() -> None:
    errors = Errors()
    section = parse_toml('[a]\n\nb = [\n 1,\n 2]\n# c\nd = """\nx\n"""\ne.f = 1\n', errors)
    places = {key: value.place.line for key, value in section.sections["a"].values.items()}
    assert places == {"b": 3, "d": 7}
    assert section.sections["a"].sections["e"].values["f"].place == ("swanctl.toml", 10)


@pytest.mark.parametrize(
    ("text", "error"),
    [
        ("a = 1\nb = ", "swanctl.toml:2: not TOML: Invalid value"),
        ("a = 1\na = 2", "swanctl.toml:2: not TOML: Cannot overwrite a value"),
        ("[[a]]\nb = 1", "swanctl.toml:1: a: write a string, a number, true, false or a list of these"),
        ("a = 1.5", "swanctl.toml:1: a: write a string, a number, true, false or a list of these"),
        ("\na = [[1]]", "swanctl.toml:2: a: a list holds strings or numbers only"),
        ("a = [{ b = 1 }]", "swanctl.toml:1: a: a list holds strings or numbers only"),
    ],
)
def test_toml_mistakes_have_lines(text: str, error: str) -> None:
    assert wrong(text, parse_toml) == [error]


def test_toml_includes_either_form() -> None:
    files = files_of(
        {
            "/etc/a.toml": 'include = ["b.toml", "*.conf"]\n[x]\na = 1',
            "/etc/b.toml": "[x]\nb = 2",
            "/etc/c.conf": "x { c = 3 }",
        }
    )
    errors = Errors()
    assert plain(parse_file("/etc/a.toml", files, errors)) == {"x": {"b": "2", "c": "3", "a": "1"}}
    assert not errors.found


def test_vici_trees_are_bounded() -> None:
    deep: dict[str, object] = {}
    for _ in range(1000):
        deep = {"s": deep}
    with pytest.raises(ConfigErrors, match="deep"):
        from_vici("x", deep)  # type: ignore[arg-type]
    with pytest.raises(ConfigErrors, match="values"):
        from_vici("x", {"l": [b""] * 200_000})


def test_values_do_not_print() -> None:
    errors = Errors()
    section = parse_text("secrets { ike { secret = squeamish } }", errors)
    assert "squeamish" not in repr(section)


lines = st.lists(
    st.sampled_from(["a", "=", "{", "}", '"', ":", ",", "#", "\n", " ", "\\", "include", "x.y", "[", "]", "'", "é"]),
    max_size=40,
).map("".join)


@given(st.one_of(st.text(max_size=60), lines))
def test_any_text_is_a_tree_or_mistakes(text: str) -> None:
    for parse in (parse_text, parse_toml):
        errors = Errors()
        assert isinstance(parse(text, errors), Section)
        assert all(error.line or "deep" in error.why or "TOML" in error.why for error in errors.found)


names = st.text(st.characters(codec="ascii", categories=["L", "N"]), min_size=1, max_size=4)
trees = st.recursive(
    st.dictionaries(names, st.text(min_size=1, max_size=8)),
    lambda children: st.dictionaries(names, st.one_of(st.text(min_size=1, max_size=8), children), max_size=4),
    max_leaves=8,
)


@given(trees)
def test_whatever_is_written_quoted_is_read_back(tree: dict[str, object]) -> None:
    def quoted(text: str) -> str:
        return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'

    def write(tree: dict[str, object]) -> str:
        return "".join(
            f"{quoted(key)} {{ {write(value)} }}\n" if isinstance(value, dict) else f"{key} = {quoted(str(value))}\n"
            for key, value in tree.items()
        )

    if "include" not in str(tree):
        assert parsed(write(tree)) == tree
