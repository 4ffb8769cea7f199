"""Demo task: the amount of money in a message."""

from __future__ import annotations

import re
from random import Random

from paretune.demo.task import DemoTask, Fact, Material, Message, between, draw_splits, one_of

_TRAIN = Material(
    wordings=(
        "I paid {fact} for the {thing} on {day}.",
        "The {thing} costs {fact} and weighs {count} pounds.",
        "My rent is {fact} for {small} rooms.",
        "We ordered {count} chairs and the shop charged {fact}.",
        "The flight to {city} was {fact}, gate {small}.",
        "Please refund {fact} for ticket {code}.",
        "{name} owes me {fact} since {day}.",
        "The plumber wanted {fact} for {count} minutes of work.",
        "Room {code} in {city} was {fact} a night.",
        "I sold the old {thing} for {fact} after {count} days.",
        "We raised {fact} with {count} cakes.",
        "Send {fact} to {name} before {day}.",
        "A seat in row {count} is {fact}.",
        "After {count} months, fixing the {thing} costs {fact}.",
        "{name} won {fact} in round {small}.",
        "Invoice {code} says {fact}, due on {day}.",
        "{small} of us split the {fact} for the {thing}.",
        "By {day} I had saved {fact} for the trip to {city}.",
        "The {thing} was marked down to {fact}, {count} are left.",
        "{name} found {fact} in a coat from {city}.",
    ),
    slots={
        "name": one_of("Anna", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Henry"),
        "thing": one_of("lamp", "printer", "bike", "sofa", "camera", "guitar", "blender"),
        "city": one_of("Boston", "Madrid", "Oslo", "Denver", "Lisbon"),
        "day": one_of("May 3", "June 14", "Monday", "Friday", "March 21", "July 9"),
        "count": between(2, 60),
        "small": between(2, 9),
        "code": between(100, 999),
    },
)

_SELECT = Material(
    wordings=(
        "Parking in {city} for {small} hours set me back {fact}.",
        "The insurance pays {fact} for the stolen {thing}.",
        "{name} bet {fact} on horse {small}.",
        "Class {code} collected {fact} for the teacher on {day}.",
        "It takes {fact} a month to heat our {small} offices.",
        "The fine of {fact} must be settled within {count} days.",
        "On {day} {name} transferred {fact} to account {code}.",
        "You still have {fact} of credit and {count} minutes.",
        "The {thing} in window {small} is priced at {fact}.",
        "Fuel to {city} and back, {count} litres, comes to {fact}.",
        "{name} asked for a raise of {fact} after {small} years.",
        "Tip included, the {count} pizzas made {fact}.",
    ),
    slots={
        "name": one_of("Quentin", "Rosa", "Stefan", "Tina", "Ulrich", "Vera", "Walter", "Yvonne"),
        "thing": one_of("watch", "canoe", "violin", "oven", "carpet", "drone"),
        "city": one_of("Portland", "Zurich", "Turin", "Houston", "Bergen"),
        "day": one_of("September 5", "December 12", "Wednesday", "Thursday", "February 22"),
        "count": between(2, 60),
        "small": between(2, 9),
        "code": between(100, 999),
    },
)

_TEST = Material(
    wordings=(
        "The garage quoted {fact} for {small} tyres.",
        "{name} said dinner for {small} came to {fact}.",
        "Our water bill for {day} is {fact}.",
        "I lent my cousin {name} {fact}, {count} weeks ago.",
        "A pack of {count} batteries is now {fact}.",
        "They took {fact} off my pay for {small} missed shifts.",
        "For {count} lessons {name} asks {fact}.",
        "Member {code} donated {fact} on {day}.",
        "The vet in {city} charged {fact} for {small} shots.",
        "Membership {code} renews for {fact}.",
        "The taxi in {city} was {fact} for {count} miles.",
        "Shipping the {thing} to {city} adds {fact}.",
    ),
    slots={
        "name": one_of("Ivan", "Julia", "Kevin", "Laura", "Martin", "Nora", "Oscar", "Paula"),
        "thing": one_of("desk", "mirror", "piano", "fridge", "tent", "statue"),
        "city": one_of("Chicago", "Vienna", "Dublin", "Seattle", "Athens"),
        "day": one_of("April 6", "August 17", "Tuesday", "Sunday", "October 28"),
        "count": between(2, 60),
        "small": between(2, 9),
        "code": between(100, 999),
    },
)


def _amount(rng: Random) -> Fact:
    whole = rng.choice(
        (rng.randint(11, 99), rng.randint(11, 99), rng.randint(100, 999), rng.randint(1000, 4999))
    )
    cents = rng.choice((0, 0, 0, rng.randint(1, 99)))
    answer = f"{whole}.{cents:02d}" if cents else f"{whole}"
    form = rng.choice(("${}", "${}", "{} dollars", "{} dollars", "USD {}"))
    return Fact(form.format(answer), answer)


def score(expected: str, output: str) -> tuple[float, str]:
    """1.0 if the first number in the output is the amount; thousands commas and `.00` do not matter."""
    number = re.search(r"\d[\d,]*(\.\d+)?", output)
    if number is None:
        return 0.0, f"Expected {expected}, but none was given."
    if float(number[0].replace(",", "")) == float(expected):
        return 1.0, "Correct."
    return 0.0, f"Expected {expected}; {number[0]} comes first."


_SPLITS = draw_splits("money", {"train": _TRAIN, "select": _SELECT, "test": _TEST}, _amount)

MONEY = DemoTask(
    name="money",
    description="Read a message and tell the amount of money in it.",
    seed_messages=(
        Message("system", "You are a helpful assistant."),
        Message("user", "How much money is this message about?\n\n{text}"),
    ),
    **_SPLITS,
    score=score,
)
