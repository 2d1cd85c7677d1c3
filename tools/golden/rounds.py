"""Whole rounds of GRPO and PPO in float64, worked from the papers and apart from malmoi's code: what
tests/interop/test_rounds.py holds it to.

The answers are given (a run's rollouts.jsonl); advantages, losses and updates are made here.  A token's
log-probability is that under softmax(logits / temperature).  Updates are plain gradient descent, so that
rounding is not magnified as Adam's division magnifies it.

  GRPO  Shao et al. 2024 (DeepSeekMath), equation 3, with its forms in DAPO, Dr. GRPO and GSPO
  PPO   Schulman et al. 2017, equations 7, 11 and 12; Schulman et al. 2016, equation 16; Ziegler et al. 2019, section 2.2
"""
import dataclasses

import numpy
import torch


@dataclasses.dataclass
class Answer:
    """One answer with what a round finds of it; arrays are by token."""
    ids: list
    length: int
    reward: float
    ended: bool
    prompt: int
    old: numpy.ndarray = None
    ref: numpy.ndarray = None
    value: numpy.ndarray = None
    rewards: numpy.ndarray = None        # before they are whitened
    advantage: numpy.ndarray = None
    target: numpy.ndarray = None


def answers_of(rows):
    """The rows of rollouts.jsonl of one step."""
    prompts = {}
    return [Answer(row["ids"], row["tokens"], row["reward"], row["finish"] in ("eos", "stop"),
                   prompts.setdefault(row["row"], len(prompts))) for row in rows]


class Policy:
    """A transformers model and, for PPO, a linear value head on its hidden states or on those of another trunk (a model
    without a head); all in float64."""

    def __init__(self, model, values=False, temperature=1.0, trunk=None, head=None):
        self.model, self.temperature, self.trunk, self.head = model.double(), temperature, trunk, head
        if values:
            self.head = torch.nn.Linear(model.config.hidden_size, 1).double()
            torch.nn.init.zeros_(self.head.weight)
            torch.nn.init.zeros_(self.head.bias)

    def look(self, answer):
        """log p of the answer's tokens, the entropy where they stand, and what the value head says there."""
        ids = torch.tensor([answer.ids])
        out = self.model(ids, output_hidden_states=True)
        place = slice(len(answer.ids) - answer.length - 1, len(answer.ids) - 1)
        table = torch.log_softmax(out.logits[0, place] / self.temperature, -1)
        logp = table.gather(1, torch.tensor(answer.ids[-answer.length:])[:, None])[:, 0]
        hidden = self.trunk(ids).last_hidden_state if self.trunk else out.hidden_states[-1]
        value = self.head(hidden[0, place])[:, 0] if self.head else None
        return logp, -(table.exp() * table).sum(-1), value

    def descend(self, loss, rate, head_rate):
        """One step against the gradient; the head's rate is its own."""
        weights = [p for trunk in (self.model, self.trunk) if trunk for p in trunk.parameters() if p.requires_grad]
        head = list(self.head.parameters()) if self.head else []
        slopes = torch.autograd.grad(loss, weights + head, allow_unused=True)
        with torch.no_grad():
            for i, (weight, slope) in enumerate(zip(weights + head, slopes)):
                if slope is not None:
                    weight -= (rate if i < len(weights) else rate * head_rate) * slope


def remember(policy, reference, answers):
    """What is fixed before the first update of a round."""
    with torch.no_grad():
        for answer in answers:
            old, _, value = policy.look(answer)
            answer.old, answer.ref = old.numpy(), reference.look(answer)[0].numpy()
            answer.value = value.numpy() if value is not None else None


def rounds(policy, reference, steps, per_update, passes, credit, loss, rate, head_rate=1.0):
    """Every step's mean loss over its updates."""
    losses = []
    for answers in steps:
        remember(policy, reference, answers)
        credit(answers)
        seen = []
        for _ in range(passes):
            for begin in range(0, len(answers), per_update):
                value = loss(policy, answers[begin:begin + per_update])
                seen.append(value.item())
                policy.descend(value, rate, head_rate)
        losses.append(sum(seen) / len(seen))
    return losses


def surrogate(ratio, advantage, low, high):
    return torch.minimum(ratio * advantage, torch.clamp(ratio, 1 - low, 1 + high) * advantage)


# ---- GRPO ----

def group_advantages(answers, scale="group"):
    """Rewards against those of the same prompt."""
    rewards = numpy.array([a.reward for a in answers])
    for answer in answers:
        group = numpy.array([a.reward for a in answers if a.prompt == answer.prompt])
        spread = {"group": group.std(ddof=1) + 1e-4, "batch": rewards.std(ddof=1) + 1e-4, "none": 1.0}[scale]
        answer.advantage = numpy.full(answer.length, (answer.reward - group.mean()) / spread)


def grpo_loss(policy, answers, form="grpo", low=0.2, high=0.2, beta=0.04, kl="k3", level="token", longest=None):
    tokens, sums = sum(a.length for a in answers), []
    for answer in answers:
        logp = policy.look(answer)[0]
        moved, apart = logp - torch.from_numpy(answer.old), torch.from_numpy(answer.ref) - logp
        ratio = moved.mean().exp().expand(answer.length) if level == "sequence" else moved.exp()
        distance = {"k1": -apart, "k2": apart ** 2 / 2, "k3": apart.exp() - apart - 1}[kl]
        each = beta * distance - surrogate(ratio, torch.from_numpy(answer.advantage), low, high)
        weight = {"grpo": 1 / answer.length / len(answers), "dapo": 1 / tokens, "dr_grpo": 1 / longest / len(answers) if longest else None}[form]
        sums.append(weight * each.sum())
    return sum(sums)


# ---- PPO ----

def generalised_advantages(reward, value, gamma, trace):
    """Equation 16 as it stands: a sum of later errors, each (gamma lambda) times smaller than the one before."""
    following = numpy.append(value[1:], 0)
    error = reward + gamma * following - value
    return numpy.array([sum((gamma * trace) ** k * e for k, e in enumerate(error[t:])) for t in range(len(error))])


class PPO:
    def __init__(self, gamma=1.0, trace=0.95, beta=0.05, kl_target=0.0, missing_eos=0.0, whiten_rewards=False, clip=0.2, value_clip=0.2,
                 value_weight=0.1, entropy=0.0):
        self.__dict__.update(locals())

    def credit(self, answers):
        kl = []
        for answer in answers:
            distance = answer.old - answer.ref
            answer.rewards = -self.beta * distance
            answer.rewards[-1] += answer.reward - (0 if answer.ended else self.missing_eos)
            kl.append(distance.sum())
        every = numpy.concatenate([a.rewards for a in answers])
        mean, spread = (every.mean(), numpy.sqrt(every.var(ddof=1) + 1e-8)) if self.whiten_rewards else (0, 1)
        for answer in answers:
            rewards = (answer.rewards - mean) / spread + mean
            answer.advantage = generalised_advantages(rewards, answer.value, self.gamma, self.trace)
            answer.target = answer.advantage + answer.value
        every = numpy.concatenate([a.advantage for a in answers])
        for answer in answers:
            answer.advantage = (answer.advantage - every.mean()) / numpy.sqrt(every.var(ddof=1) + 1e-8)
        if self.kl_target:
            self.beta *= 1 + 0.1 * numpy.clip(numpy.mean(kl) / self.kl_target - 1, -0.2, 0.2)

    def loss(self, policy, answers):
        return sum(self.terms(policy, answers))

    def terms(self, policy, answers):
        """The loss's three parts: of the policy, of the value and of the entropy."""
        tokens, sums = sum(a.length for a in answers), [0, 0, 0]
        for answer in answers:
            logp, entropy, value = policy.look(answer)
            old, target = torch.from_numpy(answer.value), torch.from_numpy(answer.target)
            ratio = (logp - torch.from_numpy(answer.old)).exp()
            held = old + torch.clamp(value - old, -self.value_clip, self.value_clip)
            wrong = torch.maximum((value - target) ** 2, (held - target) ** 2) / 2
            gain = surrogate(ratio, torch.from_numpy(answer.advantage), self.clip, self.clip)
            for i, by_token in enumerate((-gain, self.value_weight * wrong, -self.entropy * entropy)):
                sums[i] = sums[i] + by_token.sum() / tokens
        return sums
