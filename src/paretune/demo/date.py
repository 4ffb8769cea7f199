"""Demo task: the date in a message, in ISO form."""

from __future__ import annotations

import datetime
import re
from random import Random

from paretune.demo.task import DemoTask, Fact, Material, Message, between, draw_splits, one_of

_TRAIN = Material(
    wordings=(
        "The meeting is on {fact} at {hour} in room {count}.",
        "{name} was born on {fact}.",
        "We moved to {city} on {fact} with {count} boxes.",
        "Please pay the bill by {fact}.",
        "The concert in {city} takes place on {fact}, doors open at {hour}.",
        "My passport expires on {fact}, says {name}.",
        "The exam was moved to {fact}; bring {count} pencils.",
        "On {fact} the office will be closed.",
        "{name} started the new job on {fact}.",
        "The lease for flat {count} ends on {fact}.",
        "Your dentist appointment: {fact}, {hour}.",
        "The train strike of {fact} hit {count} towns.",
        "{name} booked {count} rooms in {city} from {fact} on.",
        "The museum in {city} reopens on {fact}.",
        "As of {fact}, lunch is served until {hour}.",
        "He wrote the report on {fact}, {count} pages long.",
        "The vote of {fact} was close: {count} to one.",
        "Please return the books before {fact}, {name}.",
        "{city} saw its first snow on {fact}.",
        "The deadline, {fact} at {hour}, will not be extended.",
    ),
    slots={
        "name": one_of("Anna", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Henry"),
        "city": one_of("Boston", "Madrid", "Oslo", "Denver", "Lisbon"),
        "hour": one_of("9 am", "10:30", "noon", "6 pm", "8 pm"),
        "count": between(2, 60),
    },
)

_SELECT = Material(
    wordings=(
        "The ferry to {city} sails on {fact} at {hour}.",
        "{name} retires on {fact} after {count} years.",
        "The storm of {fact} tore down {count} trees.",
        "Our founders met in {city} on {fact}.",
        "There are no seats left for {fact}.",
        "The meter was last read on {fact} at {hour}.",
        "{name} adopted {count} kittens on {fact}.",
        "Until {fact} you can change your mind.",
        "Hearing {count} is set for {fact}, {hour}.",
        "The new bridge in {city} was finished on {fact}.",
        "Holidays begin on {fact}, dear {name}.",
        "Photo {count} was taken on {fact}.",
    ),
    slots={
        "name": one_of("Quinn", "Rosa", "Stella", "Tina", "Ursula", "Vera", "Wanda", "Yvonne"),
        "city": one_of("Portland", "Zurich", "Turin", "Houston", "Bergen"),
        "hour": one_of("7 am", "3:15", "quarter past two", "4 pm", "10 pm"),
        "count": between(2, 60),
    },
)

_TEST = Material(
    wordings=(
        "{name} and her husband got married in {city} on {fact}.",
        "The parcel should arrive on {fact} before {hour}.",
        "Registration closes on {fact} for all {count} courses.",
        "I bought this car on {fact}.",
        "The shop in {city} opened its doors on {fact}.",
        "Save the date: {fact}, garden party at {hour}!",
        "Since {fact} we have had {count} complaints.",
        "The warranty runs until {fact}, dear {name}.",
        "Bus line {count} will stop running on {fact}.",
        "{name} signed the contract on {fact}.",
    ),
    slots={
        "name": one_of("Ivana", "Julia", "Katrin", "Laura", "Monica", "Nora", "Olga", "Paula"),
        "city": one_of("Chicago", "Vienna", "Dublin", "Seattle", "Athens"),
        "hour": one_of("11 am", "7:45", "midnight", "5 pm", "9 pm"),
        "count": between(2, 60),
    },
)

_MONTHS = [
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
]


def _date(rng: Random) -> Fact:
    when = datetime.date(1990, 1, 1) + datetime.timedelta(days=rng.randrange(365 * 40))
    month = _MONTHS[when.month - 1]
    form = rng.choice(
        ("{m} {d}, {y}", "{m} {d}, {y}", "{d} {m} {y}", "{m} {d}{th}, {y}", "the {d}{th} of {m} {y}")
    )
    return Fact(form.format(m=month, d=when.day, y=when.year, th=_ending(when.day)), when.isoformat())


def _ending(day: int) -> str:
    return "th" if 10 < day < 14 else {1: "st", 2: "nd", 3: "rd"}.get(day % 10, "th")


def score(expected: str, output: str) -> tuple[float, str]:
    """1.0 if the first date of the form YYYY-MM-DD in the output is the right one."""
    date = re.search(r"\b\d{4}-\d\d-\d\d\b", output)
    if date is None:
        return 0.0, f"Expected {expected}, but nothing was given as YYYY-MM-DD."
    if date[0] == expected:
        return 1.0, "Correct."
    return 0.0, f"Expected {expected}; {date[0]} comes first."


_SPLITS = draw_splits("date", {"train": _TRAIN, "select": _SELECT, "test": _TEST}, _date)

DATE = DemoTask(
    name="date",
    description="Read a message and tell the date in it, written as YYYY-MM-DD.",
    seed_messages=(
        Message("system", "You are a helpful assistant."),
        Message("user", "What is the date in this message?\n\n{text}"),
    ),
    **_SPLITS,
    score=score,
)
