"""Rules of a rollout: who is named, who is drawn, and who stays."""

from __future__ import annotations

from datetime import date

import pytest

from fimble.errors import ConfigError
from fimble.rollout import Rollout, Rule, choose, judge, parse_rollout
from fimble.settings import Settings

USERS = [f"user-{number}" for number in range(4000)]


def rollout(*rules: Rule) -> Rollout:
    return Rollout(name="next", rules_version=1, expires=date(2099, 1, 1), rules=rules)


def chosen(rules: Rollout) -> dict[str, str]:
    found = {user: choose(rules, user=user, team="").rule for user in USERS}
    return {user: rule.name for user, rule in found.items() if rule}


def test_who_is_named_gets_the_model_and_so_does_a_team() -> None:
    rules = rollout(Rule(name="staff", users=("ada", "Zoë 🙂"), teams=("core",), model="next"))
    said = [choose(rules, user=user, team=team) for user, team in NAMED]
    assert [each.flag_reason for each in said] == [
        "TARGETING_MATCH",
        "TARGETING_MATCH",
        "TARGETING_MATCH",
        "DEFAULT",
        "DEFAULT",
    ]
    assert said[0].applied(Settings()).engine.model == "next"
    assert said[4].applied(Settings()) == Settings()
    assert (said[0].assignment().arm, said[4].assignment().arm) == ("staff", "none")


NAMED = [("ada", ""), ("Zoë 🙂", ""), ("bob", "core"), ("Ada", ""), ("bob", "")]


@pytest.mark.parametrize("share", [0.01, 0.1, 0.5, 0.9])
def test_a_share_is_as_large_as_it_says(share: float) -> None:
    count = len(chosen(rollout(Rule(name="some", user_share=share, model="next"))))
    deviation = (len(USERS) * share * (1 - share)) ** 0.5
    assert abs(count - len(USERS) * share) < 4 * deviation


def test_a_share_that_grows_keeps_its_users_and_ends_with_all() -> None:
    former: set[str] = set()
    for share in (0.0, 0.01, 0.05, 0.2, 0.5, 1.0):
        now = set(chosen(rollout(Rule(name="some", user_share=share, model="next"))))
        assert former <= now
        former = now
    assert former == set(USERS)


def test_rules_draw_independently_and_the_first_decides() -> None:
    rules = rollout(
        Rule(name="kept-back", user_share=0.2),
        Rule(name="most", user_share=0.5, tgi_url="http://gpu:8080"),
    )
    names = list(chosen(rules).values())
    of_most = names.count("most") / len(USERS)
    assert abs(of_most - 0.8 * 0.5) < 4 * (0.4 * 0.6 / len(USERS)) ** 0.5
    user = next(user for user, name in chosen(rules).items() if name == "most")
    found = choose(rules, user=user, team="")
    assert (found.flag_reason, found.propensity) == ("SPLIT", 0.4)
    assert found.applied(Settings()).engine.server_url == "http://gpu:8080"
    back = next(user for user, name in chosen(rules).items() if name == "kept-back")
    assert choose(rules, user=back, team="").applied(Settings()) == Settings()


def test_events_do_not_tell_where_a_name_falls() -> None:
    rules = rollout(Rule(name="all", user_share=1.0, model="next"))
    said = [choose(rules, user=user, team="").assignment() for user in USERS[:9]]
    assert {(each.bucket, each.is_eligible, each.propensity) for each in said} == {(0, False, 1.0)}


def test_every_rule_says_why() -> None:
    rules = rollout(
        Rule(name="staff", users=("ada",)), Rule(name="none-yet"), Rule(name="all", user_share=1.0)
    )
    said = [(each.applies, each.because) for each in judge(rules, user="ada", team="")]
    assert said[0] == (True, "user ada is named")
    assert said[1] == (False, f"bucket {rules.rules[1].bucket('ada')} is not below 0")
    assert said[2] == (True, f"bucket {rules.rules[2].bucket('ada')} is below 10000")


def test_rules_expire_at_the_start_of_their_day() -> None:
    rules = parse_rollout('name = "x"\nrules_version = 1\nexpires = 1970-01-02', where="x.toml")
    assert [rules.is_expired(ms) for ms in (0, 86_399_999, 86_400_000)] == [False, False, True]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("rules_version = 0", "rules_version is 0"),
        ('[[rules]]\nname = "a"\nuser_share = 1.5', "user_share is 1.5"),
        ('[[rules]]\nname = "A"', "rule|arm is 'A'"),
        ('[[rules]]\nname = "none"', "stands for users without a rule"),
        ('[[rules]]\nname = "a"\n[[rules]]\nname = "a"', "two rules have the name a"),
        ('[[rules]]\nname = "a"\ntgi_url = "gpu"', "must start with http"),
        ('[[rules]]\nname = "a"\nuser = "ada"', "unknown key user"),
        ("\x00", "not valid TOML"),
    ],
)
def test_rules_that_cannot_be_used_are_refused(text: str, message: str) -> None:
    head = "" if text.startswith("rules_version") else "rules_version = 1\n"
    with pytest.raises(ConfigError, match=message):
        parse_rollout(f'name = "x"\nexpires = 2099-01-01\n{head}{text}', where="x.toml")
