"""Questions about dates and clocks. PURE."""

from datetime import date, timedelta

from concord.preference.seeded import Draw
from concord.sample.task import NAMES, Task, Way

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
WEEKDAYS = ("Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday")


def later_date(d: Draw) -> Task:
    """A date some days after another, over at least one end of a month."""
    start = date(d.integer(2021, 2028), d.integer(1, 12), d.integer(8, 28))
    days = d.integer(31, 75)
    end = start + timedelta(days=days)
    what, verb = d.pick(
        (
            ("A library book borrowed", "is due"),
            ("A visa issued", "runs out"),
            ("A trial subscription begun", "ends"),
            ("A parcel left for collection", "is sent back"),
            ("A ticket validated", "expires"),
        )
    )
    month = start.month - 1 + days // 30
    rough = date(start.year + month // 12, month % 12 + 1, start.day) + timedelta(days=days % 30)
    month_end = (start.replace(day=1) + timedelta(days=32)).replace(day=1) - timedelta(days=1)

    def way(said: date) -> Way:
        rest = days - (month_end - start).days
        return Way(
            _day(said),
            f"From {_day(start)} to the end of {MONTHS[start.month - 1]} there are {(month_end - start).days} days. That "
            f"leaves {rest} to count on from there, which leads to {_day(said)}.",
        )

    return Task(
        "later date",
        f"{what} on {_day(start)} {verb} {days} days later. On which date is that?",
        way(end),
        (
            way(end + timedelta(days=1)),
            way(end - timedelta(days=1)),
            Way(
                _day(rough),
                f"{days} days are {'a month' if days < 60 else 'two months'} and {days % 30} days. From "
                f"{_day(start)} that leads to {_day(rough)}.",
            ),
        ),
        "That is {}.",
        "Months differ in length, so it is safest to go to the end of the month first and to count on from there.",
    )


def days_between(d: Draw) -> Task:
    """The number of days between two dates; half of the time a leap day lies between them."""
    year = d.pick((2024, 2028)) if d.uniform() < 0.5 else d.integer(2021, 2027)
    start = date(year, d.integer(1, 2), d.integer(3, 27))
    end = date(year, d.integer(3, 6), d.integer(2, 28))
    right = (end - start).days
    event = d.pick(("the exam", "the concert", "the marathon", "the launch", "the wedding", "the house move"))
    february = (date(year, 3, 1) - timedelta(days=1)).day

    def way(days: int, february_days: int) -> Way:
        return Way(
            str(days),
            f"February has {february_days} days in {year}. Going month by month from {_day(start)} to {_day(end)}, the "
            f"days add up to {days}.",
        )

    return Task(
        "days between",
        f"Today is {_day(start)}, and {event} is on {_day(end)}. How many days is it until then, today not counted?",
        way(right, february),
        (
            way(right + (1 if february == 28 else -1), 57 - february),
            Way(
                str(right + 2),
                f"Counting {_day(start)} and {_day(end)} themselves as well, there are {right + 2} days.",
            ),
            Way(
                str(right - 2),
                f"From the {start.day} of one month to the {end.day} of the other, with the whole months "
                f"between them, it comes to {right - 2} days.",
            ),
        ),
        "It is {} days.",
        "The first day is not counted and the last one is, which is the usual way of counting down to something.",
    )


def weekday(d: Draw) -> Task:
    """The day of the week some days later."""
    start, days = d.integer(0, 6), d.integer(16, 97)
    days += days % 7 == 0
    name, right = d.pick(NAMES), (start + days) % 7
    what = d.pick(("waters the big fern", "calls the landlord", "renews the parking permit", "gets a check-up"))
    others = [at for at in range(7) if at not in (right, start)]
    one, other = d.several(others, 2)

    def way(at: int, left: int) -> Way:
        return Way(
            WEEKDAYS[at],
            f"Every seven days it is {WEEKDAYS[start]} again. {days} days are {(days - left) // 7} full weeks and {left} "
            f"more, and {left} on from {WEEKDAYS[start]} is {WEEKDAYS[at]}.",
        )

    return Task(
        "weekday",
        f"Today is {WEEKDAYS[start]}. {name} {what} again in exactly {days} days. Which day of the week is that?",
        way(right, days % 7),
        (
            way(one, days % 7),
            Way(
                WEEKDAYS[other],
                f"Taking the whole weeks out of {days} days and counting on what is left, one arrives "
                f"at {WEEKDAYS[other]}.",
            ),
        ),
        "That is a {}.",
        "Only the remainder after taking out whole weeks matters.",
    )


def arrival(d: Draw) -> Task:
    """A time of day some hours and minutes later."""
    start, hours, minutes = 60 * d.integer(5, 16) + 5 * d.integer(6, 11), d.integer(1, 6), d.integer(31, 58)
    end = start + 60 * hours + minutes
    what = d.pick(("train", "ferry", "night coach", "freight train", "shuttle"))
    full = start + 60 * hours

    def way(said: int) -> Way:
        return Way(
            _clock(said),
            f"{hours} h after {_clock(start)} it is {_clock(full)}. Another {minutes} minutes run past the full hour, "
            f"which brings it to {_clock(said)}.",
        )

    return Task(
        "arrival",
        f"A {what} leaves at {_clock(start)} and takes {hours} h {minutes} min. At what time does it arrive? Use the "
        "24-hour clock.",
        way(end),
        (
            way(end - 60),
            way(end + 10),
            Way(
                _clock(end + 40),
                f"{start % 60} and {minutes} minutes are {start % 60 + minutes}, and everything above "
                f"a hundred or a full hour is carried over, so that it arrives at {_clock(end + 40)}.",
            ),
        ),
        "It arrives at {}.",
        "The minutes are carried over at sixty, not at a hundred.",
    )


def _day(day: date) -> str:
    return f"{day.day} {MONTHS[day.month - 1]} {day.year}"


def _clock(minutes: int) -> str:
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"
