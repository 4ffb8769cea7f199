"""Three small tasks with data written for this project, on which a first run shows what it does."""

from paretune.demo.date import DATE
from paretune.demo.money import MONEY
from paretune.demo.order import ORDER
from paretune.demo.task import DemoExample, DemoTask, Message

TASKS: dict[str, DemoTask] = {task.name: task for task in (MONEY, ORDER, DATE)}
"""Task name -> task; the first is the demo's default."""

__all__ = ["TASKS", "DemoExample", "DemoTask", "Message"]
