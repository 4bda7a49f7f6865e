"""Unknown commands and options: what was probably meant, in one style."""

import pytest

from tests.cli.conftest import Run


@pytest.mark.parametrize(
    ("name", "hint"), [("keyz", "Did you mean keys?"), ("zzzz", "There are serve, init, config, models, keys")]
)
def test_an_unknown_command_is_a_wrong_use(name: str, hint: str, run: Run) -> None:
    result = run(name)
    assert result.exit_code == 2
    assert hint in result.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        ("run", "No such command 'run'. Did you mean serve?"),
        ("start", "No such command 'start'. Did you mean serve?"),
        ("reload", "Did you mean config reload?"),
        ("keys lst", "No such command 'lst'. Did you mean list?"),
        ("keys delete", "Did you mean revoke?"),
        ("config chek", "Did you mean check?"),
        ("ledger zzz", "There are export."),
        ("serve --prt 1", "No such option '--prt'. Did you mean --port?"),
        ("--prt 1", "No such option '--prt'. Did you mean --port?"),
        ("usage --modle x", "No such option '--modle'. Did you mean --model?"),
        ("keys create me --modls x", "No such option '--modls'. Did you mean --models?"),
        ("keys --jsn list", "No such option '--jsn'."),
        ("help kezs", "Did you mean keys?"),
        ("help keys creat", "Did you mean create?"),
        ("help version x", "'prometheus-gateway version' has no commands of its own."),
    ],
)
def test_an_unknown_word_is_answered_in_one_style(words: str, hint: str, run: Run) -> None:
    result = run(*words.split())
    assert (result.exit_code, result.stdout) == (2, "")
    assert hint in result.stderr
    assert "(Did you mean" not in result.stderr
