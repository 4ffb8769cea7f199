"""Demo task: the order id in a message."""

from __future__ import annotations

import re
from random import Random

from paretune.demo.task import DemoTask, Fact, Material, Message, between, draw_splits, one_of

_TRAIN = Material(
    wordings=(
        "Hello, my order {fact} has not arrived, and I have waited {count} days.",
        "{name} here, order no. {fact}, the {thing} is broken. Call me at {phone}.",
        "Where is {fact}? I ordered it on {day} and paid ${count}.",
        "I want to cancel order {fact}. My customer no. is {customer}.",
        "Order {fact}: one of the {count} {thing}s is missing. {name}",
        "Please change the address of {fact} to {count} Park Street.",
        "The {thing} from order {fact} came in the wrong colour, invoice {customer}.",
        "On {day} I placed order {fact}, but the mail says {count} weeks. Thanks, {name}",
        "My phone is {phone}. The order in question is {fact}.",
        "Could you send the receipt for {fact} to {name}, customer {customer}?",
        "I got two parcels for order no. {fact}, both with a {thing}.",
        "Ticket {customer}: the {thing} in order {fact} leaks.",
        "Is it possible to add a gift note to {fact}? It is for {name}.",
        "{fact} should have had {count} {thing}s, not one.",
        "I am writing about the {thing} from {fact}.",
        "Nobody answers at {phone}. Please look at {fact}.",
        "{name} signed for order {fact} on {day}, not me.",
        "The tracking page for {fact} has said the same for {count} days.",
        "My account {customer} does not show order {fact}.",
        "How do I return {fact}? The {thing} does not fit.",
    ),
    slots={
        "name": one_of("Anna", "Ben", "Carla", "David", "Elena", "Frank", "Grace", "Henry"),
        "thing": one_of("lamp", "printer", "kettle", "chair", "camera", "guitar", "blender"),
        "day": one_of("May 3", "June 14", "Monday", "Friday", "March 21", "July 9"),
        "count": between(2, 60),
        "phone": lambda rng: f"555-{rng.randint(1000, 9999)}",
        "customer": between(1000, 9999),
    },
)

_SELECT = Material(
    wordings=(
        "Dear team, will {fact} be here by {day}?",
        "We were charged ${count} too much on order {fact}.",
        "{name} from account {customer} wants to pay {fact} by card.",
        "The {thing} works well, but the manual of order {fact} is missing.",
        "I need the invoice of {fact}, please call {phone}.",
        "After {count} mails nobody knows where {fact} is.",
        "Please split order {fact} into {count} parcels.",
        "A neighbour took {fact} on {day}; the {thing} is scratched.",
        "Reference {customer}, order {fact}: wrong {thing} again.",
        "{fact} is still in the warehouse, says {name}.",
        "Please hold {fact} until {day}, we are away.",
        "What is the delivery time for order {fact}? {name}, {phone}",
    ),
    slots={
        "name": one_of("Quentin", "Rosa", "Stefan", "Tina", "Ulrich", "Vera", "Walter", "Yvonne"),
        "thing": one_of("sofa", "watch", "oven", "carpet", "drone", "violin"),
        "day": one_of("September 5", "December 12", "Wednesday", "Thursday", "February 22", "Saturday"),
        "count": between(2, 60),
        "phone": lambda rng: f"333-{rng.randint(1000, 9999)}",
        "customer": between(1000, 9999),
    },
)

_TEST = Material(
    wordings=(
        "Good morning, I am {name}. Has {fact} shipped yet? I bought it on {day}.",
        "Still no refund after {count} days for order {fact}!",
        "The courier lost my {thing}. It was order {fact}, account {customer}.",
        "Can I add {count} more {thing}s to {fact}?",
        "You billed me twice for {fact}; my phone is {phone}.",
        "I would like to exchange the {thing} I bought, order id {fact}, for a bigger one.",
        "{name} asked me to check the status of order {fact} from {day}.",
        "Regarding {fact}: the box was open and {count} screws were gone.",
        "Our office, client {customer}, is still waiting for order {fact}.",
        "Thanks for the quick delivery of {fact}, the {thing} is great. {name}, {phone}",
    ),
    slots={
        "name": one_of("Ivan", "Julia", "Kevin", "Laura", "Martin", "Nora", "Oscar", "Paula"),
        "thing": one_of("desk", "mirror", "clock", "toaster", "tent", "helmet"),
        "day": one_of("April 6", "August 17", "Tuesday", "Sunday", "October 28", "January 11"),
        "count": between(2, 60),
        "phone": lambda rng: f"444-{rng.randint(1000, 9999)}",
        "customer": between(1000, 9999),
    },
)


def _order_id(rng: Random) -> Fact:
    number = str(rng.randint(100_000, 999_999))
    return Fact(rng.choice(("{}", "#{}", "#{}")).format(number), number)


def score(expected: str, output: str) -> tuple[float, str]:
    """1.0 if the first number in the output is the order id."""
    code = re.search(r"\d+", output)
    if code is None:
        return 0.0, f"Expected {expected}, but none was given."
    if code[0] == expected:
        return 1.0, "Correct."
    return 0.0, f"Expected {expected}; {code[0]} comes first."


_SPLITS = draw_splits("order", {"train": _TRAIN, "select": _SELECT, "test": _TEST}, _order_id)

ORDER = DemoTask(
    name="order",
    description="Read a customer's message and tell the order id in it.",
    seed_messages=(
        Message("system", "You are a helpful assistant."),
        Message("user", "Which order is this message about?\n\n{text}"),
    ),
    **_SPLITS,
    score=score,
)
