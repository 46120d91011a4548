"""The models: every switch does what it says, against arithmetic done by hand or by torch."""

import copy
import math
from dataclasses import replace

import pytest
import torch
import torch.nn.functional as F
from layouts import fuse, split
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from gpt.config import ModelConfig
from gpt.errors import ConfigError
from gpt.model.gpt import GPT, Bigram, LanguageModel, build_model
from gpt.model.loss import IGNORE_INDEX

V = 11
TINY = ModelConfig(block_size=8, n_layer=2, n_head=2, n_embd=8)

VARIANTS = {
    "tiny": TINY,
    "bigram": replace(TINY, kind="bigram"),
    "per_head": replace(TINY, attention="per_head"),
    "matmul": replace(TINY, kernel="matmul"),
    "online": replace(TINY, kernel="online"),
    "biases": replace(TINY, bias=True, qkv_bias=True),
    "scale by n_embd": replace(TINY, attention_scale="n_embd"),
    "no scale": replace(TINY, attention_scale="none"),
    "rmsnorm": replace(TINY, norm="rmsnorm"),
    "final norm unused": replace(TINY, final_norm="unused"),
    "no final norm": replace(TINY, final_norm="none"),
    "qk_norm": replace(TINY, qk_norm=True),
    "relu": replace(TINY, activation="relu"),
    "relu2": replace(TINY, activation="relu2"),
    "rotary": replace(TINY, position="rotary"),
    "rotary, qk_norm, per_head": replace(
        TINY, position="rotary", qk_norm=True, attention="per_head"
    ),
    "tied": replace(TINY, tied_head=True),
    "torch init": replace(TINY, init="torch"),
    "zero projections": replace(TINY, init="zero_projections"),
}


@pytest.fixture(autouse=True)
def _seeded() -> None:
    torch.manual_seed(0)


def build(config: ModelConfig, seed: int = 0) -> LanguageModel:
    torch.manual_seed(seed)
    return build_model(config, V)


def loud(config: ModelConfig) -> LanguageModel:
    """A model whose every weight matters: all drawn from normal(0.5), norms' and biases' too."""
    model = build(config)
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.5)
    return model.eval()


@pytest.fixture
def idx() -> Tensor:
    """(3, 8) tokens."""
    return torch.randint(V, (3, 8), generator=torch.Generator().manual_seed(0))


@pytest.fixture(params=VARIANTS)
def config(request: pytest.FixtureRequest) -> ModelConfig:
    return VARIANTS[request.param]


class TestEveryVariant:
    def test_loss_is_the_cross_entropy_of_the_logits(
        self, config: ModelConfig, idx: Tensor
    ) -> None:
        model, targets = loud(config), idx.roll(-1, 1)
        targets[0, :3] = IGNORE_INDEX

        logits = model(idx)
        chosen = logits.log_softmax(-1).gather(2, targets.clamp_min(0)[..., None])[..., 0]
        nats = -chosen[targets != IGNORE_INDEX].sum()

        assert logits.shape == (3, 8, V)
        torch.testing.assert_close(model(idx, targets, reduction="sum"), nats)
        torch.testing.assert_close(model(idx, targets), nats / 21)

    def test_no_token_sees_the_future(self, config: ModelConfig, idx: Tensor) -> None:
        model, changed = loud(config), idx.clone()
        changed[:, 5] = (changed[:, 5] + 1) % V

        before, after = model(idx), model(changed)

        assert torch.equal(before[:, :5], after[:, :5])
        assert not torch.isclose(before[:, 5], after[:, 5]).all(dim=-1).any()

    def test_a_cache_gives_what_the_whole_context_gives(
        self, config: ModelConfig, idx: Tensor
    ) -> None:
        model = loud(config)
        cache = model.new_cache()

        steps = [model(part, cache=cache) for part in idx.split([3, 1, 1, 2, 1], dim=1)]

        torch.testing.assert_close(torch.cat(steps, dim=1), model(idx))

    def test_the_same_seed_gives_the_same_model(self, config: ModelConfig, idx: Tensor) -> None:
        assert torch.equal(build(config, 1)(idx), build(config, 1)(idx))
        assert not torch.equal(build(config, 1)(idx), build(config, 2)(idx))

    def test_first_loss_is_near_ln_v(self, config: ModelConfig, idx: Tensor) -> None:
        model = build(config)

        loss = model(idx, idx.roll(-1, 1)).item()

        assert loss == pytest.approx(math.log(V), abs=0.6 if config.init == "torch" else 0.1)

    def test_gradients_reach_every_weight_that_is_used(
        self, config: ModelConfig, idx: Tensor
    ) -> None:
        model = loud(config)

        model(idx, idx.roll(-1, 1)).backward()

        idle = {name for name, parameter in model.named_parameters() if parameter.grad is None}
        assert idle == ({"final_norm.weight"} if config.final_norm == "unused" else set())


def test_a_context_longer_than_the_block_is_refused(idx: Tensor) -> None:
    model = build(TINY)
    with pytest.raises(ConfigError, match="at most 8 tokens but got 9"):
        model(torch.cat((idx, idx[:, :1]), dim=1))

    cache = model.new_cache()
    model(idx, cache=cache)
    with pytest.raises(ConfigError, match="at most 8 tokens but got 9"):
        model(idx[:, :1], cache=cache)


def test_loss_is_float32_under_autocast(idx: Tensor) -> None:
    model = loud(replace(TINY, position="rotary", qk_norm=True))
    with torch.autocast("cpu", torch.bfloat16):
        assert model(idx).dtype == torch.bfloat16
        loss = model(idx, idx.roll(-1, 1))

    assert loss.dtype == torch.float32
    torch.testing.assert_close(loss, model(idx, idx.roll(-1, 1)), rtol=0.02, atol=0.0)


@pytest.mark.parametrize("kernel", ["per_head", "matmul", "sdpa_math", "sdpa_flash", "online"])
def test_the_kernel_changes_nothing_but_speed(kernel: str, idx: Tensor) -> None:
    reference = loud(TINY)
    model = loud(replace(TINY, kernel=kernel))  # type: ignore[arg-type]

    torch.testing.assert_close(model(idx), reference(idx))


class TestLayouts:
    """A module a head, or one matrix: the same function of the same weights."""

    @pytest.mark.parametrize("changes", [{}, {"bias": True, "qkv_bias": True}, {"qk_norm": True}])
    def test_same_output_and_gradients(self, changes: dict[str, bool], idx: Tensor) -> None:
        config = replace(TINY, attention_scale="n_embd", **changes)  # type: ignore[arg-type]
        fused, per_head = loud(config), loud(replace(config, attention="per_head"))
        fused.load_state_dict(fuse(per_head.state_dict()))

        for model in (fused, per_head):
            model(idx, idx.roll(-1, 1)).backward()

        torch.testing.assert_close(fused(idx), per_head(idx))
        gradients = {name: p.grad for name, p in per_head.named_parameters() if p.grad is not None}
        expected = {name: p.grad for name, p in fused.named_parameters()}
        torch.testing.assert_close(fuse(gradients), expected)

    def test_there_and_back(self) -> None:
        config = replace(TINY, qkv_bias=True)
        state = loud(config).state_dict()
        per_head = split(state, config.n_head)

        build(replace(config, attention="per_head")).load_state_dict(per_head)
        torch.testing.assert_close(fuse(per_head), dict(state), rtol=0, atol=0)

    def test_same_cost(self) -> None:
        fused, per_head = build(TINY), build(replace(TINY, attention="per_head"))

        assert fused.n_params == per_head.n_params
        assert fused.flops_per_token(8) == per_head.flops_per_token(8)


class TestCounts:
    """Parameters and operations, by hand and by torch's own counter."""

    def test_parameters(self) -> None:
        L, C, T = 2, 8, 8
        block = 3 * C * C + C * C + 2 * 4 * C * C + 2 * C  # qkv, projection, MLP, two norms
        model = build(TINY)

        assert model.n_params == V * C + T * C + L * block + C + C * V
        assert build(replace(TINY, tied_head=True)).n_params == model.n_params - C * V
        rotary = build(replace(TINY, position="rotary"))
        assert rotary.n_params == model.n_params - T * C
        assert build(replace(TINY, final_norm="unused")).n_params == model.n_params
        assert build(replace(TINY, final_norm="none")).n_params == model.n_params - C
        assert build(replace(TINY, kind="bigram")).n_params == V * V

    @pytest.mark.parametrize("tied", [False, True])
    def test_flops_are_what_torch_counts(self, tied: bool, idx: Tensor) -> None:
        model = build(replace(TINY, kernel="matmul", tied_head=tied))

        with FlopCounterMode(display=False) as counter:
            model(idx, idx).backward()

        assert model.flops_per_token(8) * idx.numel() == counter.get_total_flops()

    def test_a_bigram_multiplies_nothing(self) -> None:
        assert build(replace(TINY, kind="bigram")).flops_per_token(8) == 0


class TestInit:
    WIDE = ModelConfig(block_size=64, n_layer=2, n_head=2, n_embd=64, bias=True, qkv_bias=True)

    def test_gpt2(self) -> None:
        for name, parameter in build(self.WIDE).named_parameters():
            if name.endswith("bias"):
                assert not parameter.any()
            elif "norm" in name:
                assert (parameter == 1).all()
            else:
                std = 0.02 / math.sqrt(4) if name.endswith("projection.weight") else 0.02
                assert parameter.std().item() == pytest.approx(std, rel=0.1), name

    def test_torch_leaves_its_defaults(self) -> None:
        model = build(replace(self.WIDE, init="torch"))

        assert isinstance(model, GPT)
        assert model.position_embedding.weight.std().item() == pytest.approx(1, rel=0.1)
        assert model.head.weight.abs().max().item() <= 1 / math.sqrt(64)

    def test_zero_projections_make_blocks_that_do_nothing_yet(self, idx: Tensor) -> None:
        model = build(replace(TINY, init="zero_projections", final_norm="none"))
        assert isinstance(model, GPT)

        embedded = model.token_embedding(idx) + model.position_embedding(torch.arange(8))

        assert torch.equal(model.trunk(idx), embedded)

    def test_the_notebooks_bigram_starts_half_a_nat_higher(self) -> None:
        model = Bigram(replace(TINY, kind="bigram", init="torch"), 2000)
        idx = torch.arange(2000)[:, None]

        assert model(idx, idx.flip(0)).item() == pytest.approx(math.log(2000) + 0.5, abs=0.1)


class TestHead:
    def test_an_unused_final_norm_is_never_applied(self, idx: Tensor) -> None:
        model = loud(replace(TINY, final_norm="unused"))
        assert isinstance(model, GPT)
        before = model(idx)
        nn.init.constant_(model.final_norm.weight, 100.0)

        assert torch.equal(model(idx), before)

    def test_a_tied_head_is_the_embedding(self) -> None:
        model = build(replace(TINY, tied_head=True))
        assert isinstance(model, GPT)

        assert model.head.weight is model.token_embedding.weight


class TestDropout:
    @pytest.mark.parametrize("layout", ["fused", "per_head"])
    def test_only_in_training(self, layout: str, idx: Tensor) -> None:
        config = replace(TINY, dropout=0.5, attention=layout)  # type: ignore[arg-type]
        model, sober = loud(config), loud(replace(config, dropout=0.0))

        assert torch.equal(model(idx), sober(idx))
        model.train()
        assert not torch.equal(model(idx), model(idx))

    def test_of_attention_weights_reaches_the_kernel(self, idx: Tensor) -> None:
        model = loud(replace(TINY, dropout=0.5)).train()
        for module in model.modules():
            if isinstance(module, nn.Dropout):
                module.p = 0.0

        assert not torch.equal(model(idx), model(idx))

    def test_of_embeddings_is_a_switch(self) -> None:
        def drops(embedding_dropout: bool) -> bool:
            model = build(replace(TINY, dropout=0.5, embedding_dropout=embedding_dropout))
            assert isinstance(model, GPT)
            return bool((model.embedding_dropout(torch.ones(100)) == 0).any())

        assert (drops(True), drops(False)) == (True, False)


def test_nanogpts_block_by_hand(idx: Tensor) -> None:
    """One block of GPT-2's design without biases, with every product written out in float64."""
    model = loud(replace(TINY, n_layer=1)).double()
    weights = model.state_dict()
    w = {name.removeprefix("blocks.0."): tensor for name, tensor in weights.items()}
    B, T, C, H, D = 3, 8, 8, 2, 4

    def norm(x: Tensor, name: str) -> Tensor:
        centred = x - x.mean(-1, keepdim=True)
        return w[name] * centred / (centred.square().mean(-1, keepdim=True) + 1e-5).sqrt()

    x = w["token_embedding.weight"][idx] + w["position_embedding.weight"]  # (B, T, C)
    read = norm(x, "attention_norm.weight")
    out = torch.zeros(B, T, C, dtype=torch.float64)
    for h in range(H):
        q, k, v = (
            read @ w["attention.qkv.weight"][i * C + h * D : i * C + (h + 1) * D].T
            for i in range(3)
        )  # (B, T, D) each
        for t in range(T):
            scores = torch.einsum("bd,bsd->bs", q[:, t], k[:, : t + 1]) / math.sqrt(D)
            out[:, t, h * D : (h + 1) * D] = torch.einsum(
                "bs,bsd->bd", scores.softmax(-1), v[:, : t + 1]
            )
    x = x + out @ w["attention.projection.weight"].T
    hidden = norm(x, "mlp_norm.weight") @ w["mlp.expand.weight"].T  # (B, T, 4C)
    gelu = 0.5 * hidden * (1 + torch.erf(hidden / math.sqrt(2)))
    x = x + gelu @ w["mlp.projection.weight"].T
    logits = norm(x, "final_norm.weight") @ w["head.weight"].T

    torch.testing.assert_close(model(idx), logits)


def test_a_model_can_be_copied(idx: Tensor) -> None:
    model = loud(replace(TINY, kernel="sdpa_math"))

    assert torch.equal(copy.deepcopy(model)(idx), model(idx))


class TestConfig:
    @pytest.mark.parametrize("field", ["kind", "kernel", "norm", "final_norm", "init"])
    def test_an_unknown_name_is_refused(self, field: str) -> None:
        with pytest.raises(ConfigError, match=f"{field} must be one of .* but got 'nonsense'"):
            ModelConfig(**{field: "nonsense"})

    def test_what_a_model_ignores_makes_no_second_cell(self) -> None:
        deep, shallow = (ModelConfig(kind="bigram", n_layer=n, tied_head=n > 4) for n in (2, 8))
        assert deep.canonical() == shallow.canonical()
        assert deep.canonical() != replace(deep, block_size=32).canonical()

        heads = ModelConfig(attention="per_head", kernel="online")
        assert heads.canonical() == ModelConfig(attention="per_head").canonical()
        assert ModelConfig(kernel="online").canonical() == ModelConfig(kernel="online")

    def test_canonical_twins_are_one_function(self, idx: Tensor) -> None:
        for config in VARIANTS.values():
            torch.testing.assert_close(build(config)(idx), build(config.canonical())(idx))


def test_cross_entropy_of_a_known_table() -> None:
    """A bigram table of log-probabilities: the loss is their mean surprise."""
    model = Bigram(replace(TINY, kind="bigram"), 2)
    with torch.no_grad():
        model.table.weight.copy_(torch.tensor([[0.25, 0.75], [0.5, 0.5]]).log())

    loss = model(torch.tensor([[0, 1]]), torch.tensor([[1, 0]]))

    assert loss.item() == pytest.approx(-(math.log(0.75) + math.log(0.5)) / 2)
    assert F.softmax(model(torch.tensor([[0]])), dim=-1)[0, 0, 1].item() == pytest.approx(0.75)
