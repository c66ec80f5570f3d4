"""HA-CNN and HAT-CNN layer by layer, as the paper and the published code describe them.

Nothing is merged, reordered or folded. The modules bear the names of `hatcnn.models`, so weights
load from one into the other. Shapes are (N, channels, height, width).
"""

from itertools import pairwise

import torch
from torch import nn
from torch.nn import functional as F

from hatcnn.attributes import NUM_ATTRIBUTES
from hatcnn.models.attention import PUBLISHED_STARTS, REGION_HEIGHT, TILING_STARTS
from hatcnn.models.blocks import FeatureHead
from hatcnn.models.hacnn import Output


def build_plain(config):
    """The plain network of a `ModelConfig`, with fresh weights."""
    identity = PlainHACNN(config)
    return PlainHATCNN(identity, config) if config.attributes == "separate" else identity


class ConvBlock(nn.Module):
    def __init__(self, in_channels, out_channels, kernel, stride=1, padding=0, relu=True):
        super().__init__()
        self.conv = nn.Conv2d(in_channels, out_channels, kernel, stride, padding)
        self.norm = nn.BatchNorm2d(out_channels)
        self.relu = relu

    def forward(self, x):
        x = self.norm(self.conv(x))
        return F.relu(x) if self.relu else x


def inception_a(i, c):
    return SideBySide(
        nn.Sequential(ConvBlock(i, c // 4, 1), ConvBlock(c // 4, c // 4, 3, padding=1)),
        nn.Sequential(ConvBlock(i, c // 4, 1), ConvBlock(c // 4, c // 4, 3, padding=1)),
        nn.Sequential(ConvBlock(i, c // 4, 1), ConvBlock(c // 4, c // 4, 3, padding=1)),
        nn.Sequential(nn.AvgPool2d(3, 1, 1), ConvBlock(i, c // 4, 1)),
    )


def inception_b(i, c):
    q = c // 4
    return SideBySide(
        nn.Sequential(ConvBlock(i, q, 1), ConvBlock(q, q, 3, 2, 1)),
        nn.Sequential(ConvBlock(i, q, 1), ConvBlock(q, q, 3, 1, 1), ConvBlock(q, q, 3, 2, 1)),
        nn.Sequential(nn.MaxPool2d(3, 2, 1), ConvBlock(i, c // 2, 1)),
    )


class SideBySide(nn.Module):
    def __init__(self, *streams):
        super().__init__()
        for number, stream in enumerate(streams, start=1):
            self.add_module(f"stream{number}", stream)

    def forward(self, x):
        return torch.cat([stream(x) for stream in self.children()], dim=1)


class SpatialAttention(nn.Module):
    def __init__(self):
        super().__init__()
        self.reduce = ConvBlock(1, 1, 3, 2, 1)
        self.scale = ConvBlock(1, 1, 1)

    def forward(self, x):
        small = self.reduce(x.mean(dim=1, keepdim=True))
        return self.scale(F.interpolate(small, x.shape[2:], mode="bilinear", align_corners=True))


class ChannelAttention(nn.Module):
    def __init__(self, c):
        super().__init__()
        self.squeeze = ConvBlock(c, c // 16, 1)
        self.excite = ConvBlock(c // 16, c, 1)

    def forward(self, x):
        return self.excite(self.squeeze(x.mean(dim=(2, 3), keepdim=True)))


class SoftAttention(nn.Module):
    def __init__(self, c, suppressing):
        super().__init__()
        self.spatial = SpatialAttention()
        self.channel = ChannelAttention(c)
        self.blend = ConvBlock(c, c, 1, relu=not suppressing)

    def forward(self, x):
        return torch.sigmoid(self.blend(self.spatial(x) * self.channel(x)))


class HardAttention(nn.Module):
    def __init__(self, c, starts, reach):
        super().__init__()
        self.reach = reach
        self.linear = nn.Linear(c, 8)
        nn.init.zeros_(self.linear.weight)
        nn.init.zeros_(self.linear.bias)
        if not reach:
            with torch.no_grad():
                self.linear.bias.copy_(torch.tensor([[0, start] for start in starts]).flatten())

    def forward(self, x):
        moved = torch.tanh(self.linear(x.mean(dim=(2, 3)))).unflatten(1, (4, 2))
        if not self.reach:
            return moved
        strips = moved.new_tensor([[0, -0.75], [0, -0.25], [0, 0.25], [0, 0.75]])
        return strips + self.reach * moved


def sample_region(x, centre, size, direct):
    """One region (N, c, *size) of x (N, c, h, w) around `centre` (N, 2), by affine sampling."""
    n, _, h, w = x.shape
    theta = x.new_zeros(n, 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = 1, REGION_HEIGHT
    theta[:, :, 2] = centre
    grid = F.affine_grid(theta, [n, 1, h, w], align_corners=False)
    if not direct:
        cut = F.grid_sample(x, grid, align_corners=False)
        return F.interpolate(cut, size, mode="bilinear", align_corners=True)
    places = F.interpolate(grid.permute(0, 3, 1, 2), size, mode="bilinear", align_corners=True)
    return F.grid_sample(x, places.permute(0, 2, 3, 1), align_corners=False)


class LocalStream(nn.Module):
    def __init__(self, block, shared_statistics):
        super().__init__()
        self.block = block
        self.shared_statistics = shared_statistics

    def forward(self, regions):
        if not self.shared_statistics:
            return [self.block(region) for region in regions]
        return list(self.block(torch.cat(regions)).chunk(4))


class Level(nn.Module):
    def __init__(self, i, c, size, config):
        super().__init__()
        self.body = nn.Sequential(inception_a(i, c), inception_b(c, c))
        self.soft = SoftAttention(c, config.suppressing_attention)
        starts = TILING_STARTS if config.tiling_regions else PUBLISHED_STARTS
        self.hard = HardAttention(c, starts, config.region_reach)
        self.local = LocalStream(inception_b(i, c), config.shared_region_statistics)
        self.size, self.direct = size, config.direct_sampling

    def forward(self, x, local):
        features = self.body(x)
        centres = self.hard(features)
        regions = [sample_region(x, centres[:, k], self.size, self.direct) for k in range(4)]
        if local is not None:
            regions = [r + before for r, before in zip(regions, local, strict=True)]
        return features * self.soft(features), self.local(regions)


class PlainHACNN(nn.Module):
    def __init__(self, config):
        super().__init__()
        widths = (config.stem_channels, *config.channels)
        self.stem = ConvBlock(3, widths[0], 3, 2, 1)
        self.levels = nn.ModuleList(
            Level(widths[k], widths[k + 1], config.region_sizes[k], config) for k in range(3)
        )
        people, dim, neck = config.num_identities, config.feature_dim, config.bn_neck
        self.global_head = FeatureHead(widths[3], dim, people, bn_neck=neck)
        local_people = 0 if config.attributes == "local-only" else people
        self.local_head = FeatureHead(4 * widths[3], dim, local_people, bn_neck=neck)
        self.attribute_classifier = None
        if config.attributes.startswith("local"):
            self.attribute_classifier = nn.Linear(dim, NUM_ATTRIBUTES)
        self.attribute_head = None
        if config.attributes == "shared":
            self.attribute_head = PlainAttributeHead(5 * widths[3], config.attribute_dim)
        self.attribute_gate = None
        if config.attribute_gate:
            self.attribute_gate = PlainAttributeGate(dim)

    def forward(self, images):
        x, local = self.stem(images), None
        for level in self.levels:
            x, local = level(x, local)
        feature, metric = self.global_head(x.mean(dim=(2, 3)))
        pooled = torch.cat([region.mean(dim=(2, 3)) for region in local], dim=1)
        local_feature, local_metric = self.local_head(pooled)
        logits = None
        if self.attribute_classifier:
            logits = self.attribute_classifier(local_feature)
        if self.attribute_head:
            logits = self.attribute_head(torch.cat([x.mean(dim=(2, 3)), pooled], dim=1))
        if self.attribute_gate:
            of_global, of_local = self.attribute_gate(logits)
            feature, metric = feature * of_global, metric * of_global
            local_feature, local_metric = local_feature * of_local, local_metric * of_local
        return Output(
            feature,
            local_feature,
            logits,
            metric,
            local_metric,
            self.global_head.classify(feature) if self.training else None,
            self.local_head.classify(local_feature) if self.training else None,
            (),
        )


class PlainAttributeGate(nn.Module):
    def __init__(self, dim):
        super().__init__()
        self.linear = nn.Linear(NUM_ATTRIBUTES, 2 * dim)

    def forward(self, logits):
        factors = 2 * torch.sigmoid(self.linear(torch.sigmoid(logits.detach())))
        return factors[:, : factors.shape[1] // 2], factors[:, factors.shape[1] // 2 :]


class PlainAttributeHead(nn.Module):
    def __init__(self, i, width):
        super().__init__()
        self.linear = nn.Linear(i, width)
        self.norm = nn.BatchNorm1d(width)
        self.classifier = nn.Linear(width, NUM_ATTRIBUTES)

    def forward(self, pooled):
        return self.classifier(F.relu(self.norm(self.linear(pooled))))


class AttributeNetwork(PlainAttributeHead):
    def __init__(self, config):
        widths = (config.stem_channels, *config.channels)
        super().__init__(widths[3], config.attribute_dim)
        blocks = [ConvBlock(3, widths[0], 3, 2, 1)]
        for i, c in pairwise(widths):
            blocks.append(nn.Sequential(inception_a(i, c), inception_b(c, c)))
        self.body = nn.Sequential(*blocks)

    def forward(self, images):
        return super().forward(self.body(images).mean(dim=(2, 3)))


class PlainHATCNN(nn.Module):
    def __init__(self, identity, config):
        super().__init__()
        self.identity = identity
        self.attributes = AttributeNetwork(config)

    def forward(self, images):
        return self.identity(images)._replace(attribute_logits=self.attributes(images))
