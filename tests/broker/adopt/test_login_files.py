"""Adoption of a password file and an ACL file."""

from __future__ import annotations

import hashlib

import pytest
from existing_broker import (
    CONF,
    HASH,
    ON_2_1,
    errors,
    pbkdf2,
    read,
    remarks,
    sha512,
    with_salt,
)

from broker.adopt.adoption import render_stack_file

SHA512 = f"bob:{sha512(digest=hashlib.sha512(b'hunter2' + bytes(12)).digest())}"


class TestPasswords:
    @pytest.mark.parametrize(
        "line",
        [f"bob:{HASH}", f" bob : {HASH} ", f"bob:{HASH}\r", f"bob:{sha512()}", "bob::" + HASH],
    )
    def test_hash_is_kept(self, line):
        adoption = read(passwd=f"{line}\n")

        assert adoption.hashes["bob"] == line.partition(":")[2].strip(": \r")
        assert adoption.settings["users"]["bob"] == {"read": ["a"], "password": "adopted"}

    def test_lines_that_mosquitto_skips_are_remarked(self):
        passwd = f"# note\n#eve:{HASH}\nhunter2\n\nbob:{HASH}\n"

        assert remarks(passwd=passwd) == [
            "mosquitto_passwd:1: '#': a comment, or a login that is commented out; not adopted",
            "mosquitto_passwd:2: '#': a comment, or a login that is commented out; not adopted",
            "mosquitto_passwd:3: '': has no ':', so Mosquitto skips it; not adopted",
        ]

    def test_user_with_a_plain_text_password_gets_a_generated_one(self):
        """2.0 removes such a login, and 2.1 doesn't start: adopted, it must not begin to work."""
        adoption = read(passwd=f"bob:hunter2\nann:{HASH}\n")

        assert adoption.hashes == {"ann": HASH}
        assert adoption.settings["users"] == {
            "bob": {"read": ["a"]},
            "ann": {"password": "adopted"},
        }
        (message,) = [remark for remark in adoption.remarks if "mosquitto_passwd:1" in remark]
        assert message.startswith("mosquitto_passwd:1: 'bob': its password is in plain text")
        assert "gets a generated password" in message

    def test_user_without_rules_is_adopted_with_a_remark(self):
        adoption = read(passwd=f"bob:{HASH}\nann:{HASH}\n")

        assert adoption.settings["users"]["ann"] == {"password": "adopted"}
        (message,) = [remark for remark in adoption.remarks if "ann" in remark]
        assert message.startswith("mosquitto_passwd:2: 'ann': has no rules of its own")

    @pytest.mark.parametrize(
        ("lines", "where", "why"),
        [
            ([f"bob:{HASH}", f"bob:{HASH}"], "2: 'bob'", "line 1 has this login, too"),
            (["bob:"], "1: 'bob'", "has no password"),
            ([f"bob:{HASH[:-4]}"], "1: 'bob'", "bytes and not 64"),
            ([f"bob:{HASH[:-3]}"], "1: 'bob'", "is it incomplete?"),
            ([f"bob:{HASH}:x"], "1: 'bob'", "after a second ':'"),
            (["bob:$6$abc"], "1: 'bob'", "is not a hash that 2.0 and 2.1 both accept"),
            (["bob:$argon2id$v=19$m=1,t=1,p=1$c2FsdA$aGFzaA"], "1: 'bob'", "use --image"),
            ([f"bob:{sha512(salt=bytes(8))}"], "1: 'bob'", "salt must have 12 bytes"),
            ([f"b b:{HASH}"], "1: 'b b'", "in the ACL file and in the clients"),
            ([f":{HASH}"], "1: ''", "a user name is 1 to 64"),
            ([f"{HASH}:bob"], "1: ''", "a user name is 1 to 64"),
        ],
    )
    def test_invalid_login_is_an_error_that_does_not_quote_it(self, lines, where, why):
        messages = errors(passwd="".join(f"{line}\n" for line in lines))

        assert messages[0].startswith(f"mosquitto_passwd:{where}: ")
        assert why in messages[0]
        assert "$7$" not in "".join(messages).replace("$7$... (PBKDF2) or $6$...", "")

    @pytest.mark.parametrize("hash_", [with_salt(bytes(64)), with_salt(bytes(64), "6")])
    def test_salt_that_only_2_1_reads_needs_its_image(self, hash_):
        (message,) = errors(passwd=f"bob:{hash_}\n")
        assert message.startswith("mosquitto_passwd:1: 'bob': its salt must have 12 bytes")
        assert message.endswith("If the broker is 2.1, use --image eclipse-mosquitto:2.1.2")

        adoption = read(passwd=f"bob:{hash_}\n", place=ON_2_1)
        assert adoption.hashes == {"bob": hash_}
        assert adoption.settings["broker"]["image"] == ON_2_1.image

    def test_argon2id_is_adopted_for_2_1_with_a_remark_and_no_comment(self):
        argon2 = "$argon2id$v=19$m=47104,t=1,p=1$c2FsdHNhbHQ$aGFzaA"
        adoption = read(
            passwd=f"bob:{argon2}\n", acl="# bob\nuser bob\ntopic read a\n", place=ON_2_1
        )

        assert adoption.hashes == {"bob": argon2}
        assert "description" not in adoption.settings["users"]["bob"]
        assert any("the image was built without it" in remark for remark in adoption.remarks)
        assert any("may contain a password" in remark for remark in adoption.remarks)

    @pytest.mark.parametrize("blank", ["\N{NO-BREAK SPACE}", "\x1f", "\x85", "\u2003"])
    def test_blank_that_c_does_not_know_stays_in_the_name(self, blank):
        (message,) = errors(passwd=f"bob{blank}:{HASH}\n")

        assert "a user name is 1 to 64" in message

    def test_byte_order_mark_before_a_comment_is_removed(self):
        adoption = read(passwd=f"\ufeff# by hand: bob\nbob:{HASH}\n")

        assert adoption.hashes == {"bob": HASH}
        assert any(
            remark.startswith("mosquitto_passwd:1: '': begins with a byte order mark")
            for remark in adoption.remarks
        )

    def test_byte_order_mark_before_a_login_is_an_error(self):
        (message,) = errors(passwd=f"\ufeffbob:{HASH}\n")

        assert message.startswith("mosquitto_passwd:1: '': the byte order mark")

    def test_nul_is_an_error(self):
        assert "contains a NUL" in errors(passwd=f"bob:{HASH}\0\n")[0]
        assert "contains a NUL" in errors(acl="user bob\ntopic deny a\0b\n")[0]

    def test_errors_of_all_files_are_reported_together(self):
        messages = errors(passwd="a:\nb:\n", acl="topics x\n", conf=f"{CONF}prot x\n")

        assert [error.partition(": ")[0] for error in messages] == [
            "mosquitto.conf:7",
            "mosquitto_passwd:1",
            "mosquitto_passwd:2",
            "mosquitto.acl:1",
        ]

    def test_output_contains_no_secret(self):
        passwd = f"# bob:hunter2\nbob:hunter2\nhunter2\nann:{HASH}\n"
        adoption = read(passwd=passwd, acl="# password hunter2\nuser bob\ntopic a\n")

        text = "".join(adoption.remarks) + repr(adoption) + render_stack_file(adoption.settings)
        assert "hunter2" not in text
        assert HASH not in text


class TestRules:
    def test_every_kind_of_rule_is_adopted(self):
        acl = (
            "user bob\r\ntopic a\r\n  topic  read  b c\r\ntopic write d\r\n"
            "topic deny e\r\ntopic readwrite f/#\r\n\r\n"
        )

        assert read(acl=acl).settings["users"]["bob"] == {
            "readwrite": ["a", "f/#"],
            "read": ["b c"],
            "write": ["d"],
            "deny": ["e"],
            "password": "adopted",
        }
        assert remarks(acl=acl) == []

    def test_blocks_of_one_user_are_merged(self):
        acl = "user bob\ntopic read a\nuser ann\ntopic read b\nuser bob\ntopic read a\ntopic c\n"

        users = read(acl=acl, passwd=f"bob:{HASH}\nann:{HASH}\n").settings["users"]
        assert users["bob"] == {"readwrite": ["c"], "read": ["a"], "password": "adopted"}
        assert [*users] == ["bob", "ann"]

    def test_patterns_apply_to_all_users_wherever_they_are(self):
        acl = "pattern read in/%u/#\nuser bob\npattern write out/%c\npattern deny x/%u\n"

        assert read(acl=acl).settings["patterns"] == {
            "read": ["in/%u/#"],
            "write": ["out/%c"],
            "deny": ["x/%u"],
        }

    def test_rules_above_the_first_user_are_not_adopted(self):
        acl = "topic read public/#\nuser bob\ntopic read a\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:1: 'topic read public/#': is above the first")
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    def test_user_without_a_login_is_not_adopted(self):
        acl = "user bob\ntopic read a\nuser eve\ntopic read b\ntopic write /c\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:3: 'user eve': has no login, so its 2 rules have")
        assert [*read(acl=acl).settings["users"]] == ["bob"]

    @pytest.mark.parametrize(
        "line", ["topic\tread b", "\ttopic read b", "topic read b\tc", "topic read\tb"]
    )
    def test_rule_with_a_tab_is_not_adopted(self, line):
        acl = f"user bob\ntopic read a\n{line}\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:3: ")
        assert "contains a tab" in message
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    @pytest.mark.parametrize(
        "line", ["user\tann", "\tuser ann", "topic\tdeny b", "topic deny b\tc"]
    )
    def test_tab_in_a_user_or_deny_line_is_an_error(self, line):
        (message,) = errors(acl=f"user bob\ntopic read a\n{line}\ntopic read b\n")

        assert message.startswith("mosquitto.acl:3: ")
        assert "use a space" in message

    def test_tab_at_the_end_of_a_line_is_ignored(self):
        assert remarks(acl="user bob\ntopic read a\t\n") == []

    @pytest.mark.parametrize(
        "line",
        [
            "topics read a",
            "topic Read a",
            "topic",
            "pattern",
            "user",
            "topic read a # comment",
            "topic read a/#/b",
            "topic read a+/b",
            " # comment",
        ],
    )
    def test_line_that_mosquitto_rejects_is_an_error(self, line):
        (message,) = errors(acl=f"user bob\ntopic read a\n{line}\n")

        shown = {"topics read a": "topics", " # comment": ""}.get(line, line)
        assert message.startswith(f"mosquitto.acl:3: {shown!r}: ")
        assert "Mosquitto rejects this line" in message

    @pytest.mark.parametrize("filter_", ["devices/%u/x", "a/\x7f", "/" * 201])
    def test_unsupported_grant_is_a_remark(self, filter_):
        acl = f"user bob\ntopic read a\ntopic read {filter_}\n"

        (message,) = remarks(acl=acl)
        assert message.startswith("mosquitto.acl:3: 'topic read ")
        assert "Not adopted: bob may no longer do this" in message
        assert read(acl=acl).settings["users"]["bob"]["read"] == ["a"]

    @pytest.mark.parametrize("rule", ["topic deny a\x7f", "pattern deny x%u/y"])
    def test_unsupported_denial_is_an_error(self, rule):
        (message,) = errors(acl=f"user bob\ntopic #\n{rule}\n")

        assert message.startswith(f"mosquitto.acl:3: {rule!r}: ")
        assert "Without this rule the topic would be allowed" in message

    @pytest.mark.parametrize("filter_", ["/a/#", "a//b", "a/", "/"])
    def test_empty_levels_are_adopted(self, filter_):
        acl = f"user bob\ntopic read {filter_}\ntopic deny {filter_}\n"

        assert read(acl=acl).settings["users"]["bob"] == {
            "read": [filter_],
            "deny": [filter_],
            "password": "adopted",
        }
        assert remarks(acl=acl) == []

    @pytest.mark.parametrize("blank", ["\N{NO-BREAK SPACE}", "\u2003"])
    def test_blank_that_c_does_not_know_stays_in_the_filter(self, blank):
        """Measured on 2.0.21: the broker denies pump/on."""
        acl = f"user bob\ntopic read a\ntopic write pump/on{blank}\n"

        (message,) = remarks(acl=acl)
        assert "Not adopted: bob may no longer do this" in message
        assert "write" not in read(acl=acl).settings["users"]["bob"]
        assert "Without this rule" in errors(acl=acl.replace("write", "deny"))[0]

    @pytest.mark.parametrize("blank", ["\t", "\v", "\f", "\r", " "])
    def test_blank_that_c_knows_is_removed_from_the_end(self, blank):
        acl = f"user bob{blank}\ntopic write pump/on{blank}\n"

        assert read(acl=acl).settings["users"]["bob"]["write"] == ["pump/on"]

    def test_text_that_is_not_utf_8_is_kept_out_of_rules(self):
        acl = "# caf\udce9\nuser bob\ntopic read a\ntopic read caf\udce9\n"

        adoption = read(acl=acl)
        assert adoption.settings["users"]["bob"] == {"read": ["a"], "password": "adopted"}
        assert any("mosquitto.acl:4" in remark for remark in adoption.remarks)
        assert all(remark.isascii() for remark in adoption.remarks)

    def test_users_keep_all_rights_without_an_acl_file(self):
        adoption = read(conf=CONF.replace("acl_file", "#"))

        assert adoption.settings["users"]["bob"] == {
            "readwrite": ["#"],
            "read": ["$SYS/#"],
            "password": "adopted",
        }
        (message,) = [remark for remark in adoption.remarks if "has no acl_file" in remark]
        assert "$aws/..., $SYS/broker/connection/+/state" in message

    @pytest.mark.parametrize(
        ("above", "description"),
        [
            ("# The door\n", "The door"),
            ("## The door ##\n", "The door ##"),
            ("#\n# The door\n", None),
            ("# The door\n\n", None),
            ("#----\n", None),
            ("# topic read x\n", None),
            ("# user eve\n", None),
            ("# password: hunter2\n", None),
            ("# bob pass hunter2\n", None),
            ("# pw hunter2\n", None),
            ("# The door=tr0ub4dor\n", None),
            ("# door: 1234\n", None),
            ("# the key is under the mat\n", None),
            ("# pin 1234\n", None),
            ("# Keypad at the pinnacle\n", "Keypad at the pinnacle"),
            ("# " + "x" * 201 + "\n", None),
            ("# bell \a\n", None),
        ],
    )
    def test_single_comment_above_a_user_becomes_the_description(self, above, description):
        acl = f"topic read x\n{above}user bob\ntopic read a\n"

        assert read(acl=acl).settings["users"]["bob"].get("description") == description
        unused = any("comments are not adopted" in remark for remark in remarks(acl=acl))
        assert unused == (description is None)

    @pytest.mark.parametrize("login", ["bob:hunter2", f"bob:{pbkdf2('hunter2')}", SHA512])
    def test_comment_with_the_password_of_the_user_is_not_adopted(self, login):
        texts = {"acl": "# bob hunter2\nuser bob\ntopic read a\n", "passwd": f"{login}\n"}

        assert "description" not in read(**texts).settings["users"]["bob"]
        (message,) = [remark for remark in remarks(**texts) if "acl:2" in remark]
        assert (
            message == "mosquitto.acl:2: '': the comment above it contains a password; not adopted"
        )

    def test_comment_with_a_plain_text_password_is_not_adopted(self):
        texts = {
            "acl": "# not like hunter2!\nuser bob\ntopic read a\n",
            "passwd": f"bob:{HASH}\neve:hunter2\n",
        }

        assert "description" not in read(**texts).settings["users"]["bob"]

    def test_comments_cost_a_limited_number_of_hashes(self):
        """Each word costs a hash: a hash of a billion iterations would cost an hour."""
        slow = HASH.replace("$101$", "$999999999$")
        acl = "# the door of the hall\nuser bob\ntopic read a\n"

        assert read(acl=acl).settings["users"]["bob"]["description"] == "the door of the hall"
        assert "description" not in read(acl=acl, passwd=f"bob:{slow}\n").settings["users"]["bob"]
        (message,) = remarks(acl=acl, passwd=f"bob:{slow}\n")
        assert "takes too long to find out" in message

    def test_unused_comments_are_remarked_with_their_lines(self):
        acl = "# a\n\n# Bob\nuser bob\n# c\ntopic read a\n# d\n"

        (message,) = remarks(acl=acl)
        assert message == (
            "mosquitto.acl:1: '#': comments are not adopted, except a single line above a "
            "user (not adopted: lines 1, 5, 7)"
        )
