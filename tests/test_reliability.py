"""The page of what was tried to break Concord says what the result files say, and what is missing where one is."""

from benchmarks import reliability
from concord.preference.rights import MAY_CALL


def test_the_page_is_what_the_command_makes_of_the_result_files():
    made = reliability.page(reliability.figures_of(reliability.RESULTS))
    assert reliability.PAGE.read_text() == made, "python -m benchmarks.reliability makes it anew"


def test_what_was_not_measured_is_said_to_be_so(tmp_path):
    made = reliability.page(reliability.figures_of(tmp_path))
    assert made.count("Not measured yet") == 7
    assert "`make soak`" in made


def test_figures_of_several_runs_are_added_up_and_what_is_wanted_and_not_reached_is_said():
    runs = [
        {
            "seeds": 10,
            "processor_s": 2.0,
            "faults": {"zombie": count},
            "ends": {"finished": 3, "it was cancelled and the judge lied": 2, "the judge lied": 1},
            "facts": 7,
            "first": first,
            "failed": failed,
        }
        for count, first, failed in ((1, 100, [104, 105]), (2, 105, []))
    ]
    said = reliability._simulated({"seeds": 20, "runs": runs})
    assert (said["faults"], said["facts"], said["seeds_a_processor_second"]) == ({"zombie": 3}, 14, 5.0)
    assert said["ends"] == {"finished": 6, "the judge lied": 6, "it was cancelled": 4}
    assert (said["failed"], said["mended"]) == ([104, 105], [105])
    assert "2 seeds failed: [104, 105]. Still failing: [104]." in (words := "".join(reliability._of_simulation(said)))
    assert "100,000 were wanted and are not reached" in words
    target = {"columns": {"inputs": 5, "seconds": 1.0, "failures": 1}}
    fuzzed = reliability._fuzzed({"inputs": 10, "runs": [{"targets": target}, {"targets": target}]})
    assert fuzzed["targets"]["columns"] == {"inputs": 10, "seconds": 2, "failures": 2}
    assert "1,000,000 were wanted and are not reached" in "".join(reliability._of_fuzz(fuzzed))


def test_the_matrix_counts_every_rpc_of_the_contract():
    assert reliability.rpcs() == len(MAY_CALL["admin"])
