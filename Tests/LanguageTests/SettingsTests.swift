// SPDX-License-Identifier: Apache-2.0
// Sections become settings, and settings print to text that reads back to equal settings.

import IR
import Language
import Passes
import TestSupport
import Testing

@Suite struct SettingsTests {
  /// A model with one matrix, one embedding and one vector, and the sections given.
  static func model(_ sections: String) throws -> Model {
    try Repository.model(
      text: """
        model m
        const seq = 64, rate = 0.04
        param e [3, 2]  init normal(1)  group embedding
        param s [2]  init ones  group scalar
        param proj [2, 2]  init zeros
        forward(ids: tokens[B, T]) -> dist[B, T, 3] {
          x = s * embed(e, ids)
          return softmax(linear(x + linear(x, proj), e))
        }
        \(sections)
        expect { parameters 12;  artifact at most 100_000 bytes }
        """)
  }

  static let everything = """
    train {
      read 4 rows of seq;  accumulate 2
      stop at 60 s or 100 steps
      limit training 90 s
      optimizer embedding adam(lr: 0.05, betas: [0.9, 0.99])
      optimizer scalar adamw(lr: rate, eps: 1e-10, decay: 0.1)
      optimizer matrix muon(
        lr: 0.03, momentum: ramp(0.85, 0.95, steps: 500), newton_schulz: 3,
        iteration: polar_express, row_normalise: true, decay: 0.04)
      clip 0.3
      warmup 10 steps
      warmdown 0.85 of training floor 0.1
      average ema(0.997)
      z_loss 1e-4
      validate every 20 steps on 1_024 tokens
      checkpoint every 50 steps
    }
    qat { if seq > 32 { soft_round form b alpha 2 to 9 from lr_below(0.15) } else { off } }
    quantize {
      default int6 per_row sdclip(12.85) floor(1 / 31)
      at_most(2) f16
      "e" int8 per_row quantile(0.9999984) half_floor(6.1e-5) asymmetric unrounded
      group matrix int5 per_row search(0.9, 0.99, 1) gptq
      calibrate 4096 tokens
      budget 16_000_000 bytes code 31_999 bytes
    }
    evaluate {
      float window seq on float
      sliding window seq stride 16 batch 8 rows
      limit evaluation 600 s
    }
    ttt score_first {
      chunk 256 tokens window seq stride 16
      epochs 3 batch 2 rows clip 1
      optimizer default sgd(lr: 0.002, momentum: 0.9) cosine over chunks
      optimizer "proj" adamw(lr: 0.1) cosine over chunks
      scale "*proj" 3
      freeze "e"
    }
    """

  @Test func entriesBecomeSettings() throws {
    let settings = try Self.model(Self.everything).settings
    let train = try #require(settings.train)
    #expect(train.rows == 4 && train.seq == 64 && train.accumulate == 2)
    #expect(train.stopSteps == 100 && train.stopSeconds == 60 && train.limitSeconds == 90)
    #expect(settings.evaluationLimit == 600)
    #expect(train.warmdown == .fraction(0.85) && train.floor == 0.1 && train.warmup == 10)
    #expect(train.average == .ema(0.997) && train.zLoss == 1e-4 && train.clip == 0.3)
    #expect(train.validateEvery == 20 && train.validateTokens == 1024)
    #expect(train.checkpointEvery == 50)
    #expect(
      train.optimizers.map(\.target) == [.group("embedding"), .group("scalar"), .group("matrix")])
    #expect(
      train.optimizers[0].rule
        == .adamw(lr: 0.05, beta1: 0.9, beta2: 0.99))
    #expect(
      train.optimizers[2].rule
        == .muon(
          lr: 0.03, momentum: Ramp(from: 0.85, to: 0.95, over: .steps(500)), steps: 3,
          iteration: "polar_express", normalisesRows: true, decay: 0.04))
    #expect(settings.qat == .on(.softRound(form: .b, from: 2, to: 9), from: .rateBelow(0.15)))
    let quantize = try #require(settings.quantize)
    #expect(quantize.budget == 16_000_000 && quantize.codeBytes == 31_999)
    let model = try Self.model(Self.everything)
    #expect(model.precisionTable["s"] == .f16)
    let e = Quantizer(
      bits: 8, clip: .quantile(0.9999984), halfFloor: 6.1e-5, isAsymmetric: true,
      codesFromUnrounded: true)
    #expect(model.precisionTable["e"] == .int(e))
    var proj = Quantizer(bits: 5, clip: .search([0.9, 0.99, 1]))
    proj.isSolved = true
    #expect(model.precisionTable["proj"] == .int(proj) && quantize.calibration == 4096)
    #expect(settings.evaluate.map(\.name) == ["float", "sliding"])
    #expect(settings.evaluate[0].onFloat && settings.evaluate[1].stride == 16)
    #expect(settings.evaluate[1].batch == 8)
    let ttt = try #require(settings.ttt)
    #expect(ttt.mode == .scoreFirst && ttt.chunk == 256 && ttt.stride == 16 && ttt.epochs == 3)
    #expect(ttt.schedule == .cosineOverChunks && ttt.clip == 1 && ttt.batch == 2)
    #expect(ttt.scales.map(\.factor) == [3] && ttt.frozen.map(\.glob.pattern) == ["e"])
    #expect(settings.expect == ExpectSettings(parameters: 12, artifactAtMost: 100_000))
  }

  @Test func settingsPrintTextThatReadsBack() throws {
    let model = try Self.model(Self.everything)
    let text = model.printed()
    let again = try Model.parse(path: "core", text: text)
    #expect(again.settings == model.settings)
    #expect(again.settings.text == model.settings.text)
    #expect(again.printed() == text)
  }

  @Test func coreTextHasNoVectorsOfCodesEither() throws {
    let text = try Self.model(Self.everything).printed()
    let broken = text.replacing("at_most(2) f16", with: "at_most(2) int8 per_row max")
    #expect(text != broken)
    let errors = #expect(throws: Diagnostics.self) { try Model.parse(path: "core", text: broken) }
    #expect(errors?.all.first?.message.contains("'s' is f32[2] and has no rows") == true)
  }

  @Test(arguments: [
    ("off", QATSettings.off),
    ("straight_through from start", .on(.straightThrough, from: .start)),
    ("straight_through from lr_below(0.15)", .on(.straightThrough, from: .rateBelow(0.15))),
    (
      "soft_round from 0.5 of warmdown",
      .on(.softRound(form: .a, from: 1, to: 16), from: .warmdown(0.5))
    ),
    (
      "soft_round alpha 1 to 4 from 0 of training",
      .on(.softRound(form: .a, from: 1, to: 4), from: .training(0))
    ),
  ])
  func qatWindows(entry: String, expected: QATSettings) throws {
    let sections = """
      train {
        read rows rows of seq
        stop at 50 steps
        optimizer default sgd(lr: rate)
        warmdown 30 steps
      }
      const rows = 2
      quantize { default int6 per_row max;  group scalar f16 }
      qat { \(entry) }
      """
    #expect(try Self.model(sections).settings.qat == expected)
  }

  @Test(arguments: [
    "fp8", "int4 groups(2) mean gptq", "ternary(2)", "ternary(1) gptq shrink_fix",
    "int6 per_row sdclip(12.85) gptq prune(0.03) sensitive(0.175)",
    "int3 per_row max fine(0, 1, 8) lqer(1, 2, 4, 64)", "int5 to int8",
  ])
  func formsPrintTextThatReadsBack(_ form: String) throws {
    let sections = """
      train {
        read 2 rows of seq
        stop at 50 steps
        optimizer default sgd(lr: rate)
      }
      quantize {
        default f16
        "proj" \(form)
        precision auto
        correct lqer(worst: 2, rank: 3, a: int3, b: int5, group: 0)
        protect 32 columns int7
        budget 100_000 bytes
      }
      """
    let model = try Self.model(sections)
    let quantize = try #require(model.settings.quantize)
    #expect(
      quantize.correction == .init(worst: 2, form: .init(rank: 3, aBits: 3, bBits: 5, group: 0)))
    #expect(quantize.protection == .init(columns: 32, bits: 7))
    if form.contains(" to ") {
      #expect(quantize.rules.last?.bounds == 5...8)
    } else {
      #expect(model.precisionTable["proj"]?.description == form)
    }
    let text = model.printed()
    let again = try Model.parse(path: "core", text: text)
    #expect(again.settings == model.settings && again.printed() == text)
  }

  @Test func chunksThatFitAreAccepted() throws {
    let sections = """
      ttt adapt_first {
        chunk 128 tokens
        window seq
        optimizer default adamw(lr: rate)
      }
      """
    let ttt = try #require(try Self.model(sections).settings.ttt)
    #expect(ttt.mode == .adaptFirst && ttt.stride == 64 && ttt.schedule == .constant)
  }

  @Test func zeroEpochsScoreOnly() throws {
    let sections = """
      const rounds = 0
      ttt score_first {
        chunk 128 tokens
        window seq
        epochs rounds
        optimizer default adamw(lr: rate)
      }
      """
    #expect(try Self.model(sections).settings.ttt?.epochs == 0)
  }

  /// The last scale that matches a param is its factor; others do not multiply it.
  @Test func theLastScaleWins() throws {
    let sections = """
      ttt score_first {
        chunk 128 tokens
        window seq
        optimizer default sgd(lr: 12.5 * rate)
        scale "*" 2
        scale "{e,proj}" 3
        scale "proj" 0.5
      }
      """
    let model = try Self.model(sections)
    let rates = model.adaptUpdates(try #require(model.settings.ttt)).mapValues(\.rule.lr)
    #expect(rates == ["e": 1.5, "s": 1, "proj": 0.25])
  }

  @Test func rowsThatOnlyPadAnUpdateAreSaid() throws {
    func warnings(batch: Int) throws -> [Diagnostic] {
      try Self.model(
        """
        ttt score_first {
          chunk 192 tokens
          window seq
          batch \(batch) rows
          optimizer default adamw(lr: rate)
        }
        """
      ).warnings
    }
    #expect(try warnings(batch: 3).isEmpty)
    let found = try warnings(batch: 4)
    #expect(found.map(\.code) == [.idleWork])
    #expect(found.first?.severity == .warning)
    #expect(found.first?.suggestion == "batch 3 rows")
  }

  @Test(arguments: [(100, 0), (101, 1)])
  func warmdownsLongerThanTrainingAreSaid(steps: Int, count: Int) throws {
    let sections = """
      train {
        read 2 rows of seq
        stop at 100 steps
        optimizer default sgd(lr: rate)
        warmdown \(steps) steps
      }
      """
    #expect(
      try Self.model(sections).warnings.map(\.code)
        == [DiagnosticCode](repeating: .idleWork, count: count))
  }

  @Test(arguments: [(100, 0), (101, 1)])
  func rampsLongerThanTrainingAreSaid(steps: Int, count: Int) throws {
    let sections = """
      train {
        read 2 rows of seq
        stop at 100 steps or 60 s
        optimizer default sgd(lr: rate)
        optimizer "proj" muon(lr: rate, momentum: ramp(0.85, 0.95, steps: \(steps)))
      }
      """
    #expect(try Self.model(sections).warnings.count == count)
  }

  /// Features name what they act on: winners of rules, not matches, and nothing that is frozen.
  @Test func featuresNameTheirParams() throws {
    let features = try Self.model(Self.everything).features
    let params = Dictionary(uniqueKeysWithValues: features.map { ($0.name, $0.params) })
    #expect(params["optimizer embedding"] == ["e"])
    #expect(params["optimizer scalar"] == ["s"])
    #expect(params["optimizer matrix"] == ["proj"])
    for name in ["clip", "warmup", "warmdown", "average", "z_loss", "accumulate"] {
      #expect(params[name] == ["e", "s", "proj"], "\(name)")
    }
    #expect(params["qat"] == ["e", "proj"])
    #expect(params["quantize default"] == [])
    #expect(params["quantize at_most(2)"] == ["s"])
    #expect(params["quantize \"e\""] == ["e"])
    #expect(params["quantize group matrix"] == ["proj"])
    #expect(params["ttt score_first"] == ["s", "proj"])
    #expect(params["ttt optimizer default"] == ["s"])
    #expect(params["ttt optimizer \"proj\""] == ["proj"])
    #expect(params["ttt scale \"*proj\""] == ["proj"])
    #expect(params["ttt freeze \"e\""] == ["e"])
  }

  @Test func globsMatchWholePaths() throws {
    let cases: [(String, String, Bool)] = [
      ("*.mlp.proj", "blocks.3.mlp.proj", true), ("*.mlp.proj", "mlp.proj", false),
      ("blocks.{0..4}.*", "blocks.4.attn.c_q", true),
      ("blocks.{0..4}.*", "blocks.14.attn.c_q", false),
      ("blocks.{0..14}.*", "blocks.14.x", true), ("*.{c_q,c_k}", "blocks.0.attn.c_k", true),
      ("*.{c_q,c_k}", "blocks.0.attn.c_v", false), ("tok_emb", "tok_emb", true),
      ("tok_emb", "tok_emb2", false), ("*", "anything.at.all", true),
      ("{a*,b.{x,y}}.z", "b.y.z", true),
      ("{a*,b.{x,y}}.z", "abc.z", true), ("{a*,b.{x,y}}.z", "b.w.z", false),
    ]
    for (pattern, path, expected) in cases {
      let glob = try #require(Glob(pattern))
      #expect(glob.matches(path) == expected, "\(pattern) on \(path)")
    }
    for pattern in ["", "{", "a}", "{a", "a,b", "{3..1}"] { #expect(Glob(pattern) == nil) }
    // Many stars stay cheap.
    let stars = String(repeating: "*a", count: 40)
    #expect(try #require(Glob(stars)).matches(String(repeating: "b", count: 500)) == false)
  }
}
