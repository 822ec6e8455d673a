// SPDX-License-Identifier: Apache-2.0
// The metric of a study over its first const, as a picture.

import IR
import Runtime

/// An SVG: a dot for each seed, a line through the means, one line for each setting of the other consts.
struct StudyPlot {
  private let table: StudyTable
  private let metric: String
  /// Places of the values of the first const: the numbers themselves, or their order.
  private let places: [Double]
  private let isNumeric: Bool
  private let lines: [(name: String, settings: [StudySetting])]

  private static let (width, height) = (760.0, 420.0)
  private static let (left, top, bottom) = (84.0, 24.0, 56.0)
  /// Room for the names of lines, where there are several.
  private var right: Double { lines.count > 1 ? 200 : 24 }
  /// Distinct for readers who see few colours too (Okabe and Ito, 2008).
  private static let colors = [
    "#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#999999",
  ]

  /// Nil before anything was measured.
  init?(_ table: StudyTable) {
    guard let metric = table.metric else { return nil }
    (self.table, self.metric) = (table, metric)
    let values = table.variations[0].values
    let numbers = values.compactMap { Double($0.replacing("_", with: "")) }
    isNumeric = numbers.count == values.count && values.count > 1
    places = isNumeric ? numbers : values.indices.map(Double.init)
    var lines: [(name: String, settings: [StudySetting])] = []
    for setting in table.settings {
      let name = setting.values.dropFirst().map { "\($0.name)=\($0.text)" }.joined(separator: ", ")
      if let index = lines.firstIndex(where: { $0.name == name }) {
        lines[index].settings.append(setting)
      } else {
        lines.append((name, [setting]))
      }
    }
    self.lines = lines
  }

  var svg: String {
    let values = table.outcomes.compactMap { $0.metrics[metric] }
    guard let least = values.min(), let most = values.max() else { return "" }
    // Equal numbers still need a scale.
    let room = max(0.08 * (most - least), abs(most) * 1e-4, 1e-9)
    let y = Axis(
      from: least - room, to: most + room, start: Self.height - Self.bottom, end: Self.top)
    let (first, last) = (places.min()!, places.max()!)
    let margin = first == last ? 1 : 0.05 * (last - first)
    let x = Axis(
      from: first - margin, to: last + margin, start: Self.left, end: Self.width - right)
    let drawn = lines.enumerated().map {
      line($1.settings, Self.colors[$0 % Self.colors.count], x, y)
    }
    return """
      <svg xmlns="http://www.w3.org/2000/svg" width="\(Int(Self.width))" height="\(Int(Self.height))" \
      viewBox="0 0 \(Int(Self.width)) \(Int(Self.height))" font-family="sans-serif" font-size="12">
      <rect width="100%" height="100%" fill="white"/>

      """ + frame(x, y) + drawn.joined() + legend + "</svg>\n"
  }

  /// Where numbers lie on the picture.
  private struct Axis {
    let (from, to, start, end): (Double, Double, Double, Double)

    func place(_ value: Double) -> Double { start + (value - from) / (to - from) * (end - start) }

    /// About five round numbers.
    var ticks: [Double] {
      let rough = (to - from) / 5
      let unit = power(rough)
      let step = unit * ([1, 2, 5, 10].first { $0 * unit >= rough } ?? 10)
      let first = (from / step).rounded(.up)
      return (0...12).map { (first + Double($0)) * step }.filter { $0 <= to }
    }

    private func power(_ value: Double) -> Double {
      var unit = 1.0
      while unit > value { unit /= 10 }
      while unit * 10 <= value { unit *= 10 }
      return unit
    }
  }

  private func frame(_ x: Axis, _ y: Axis) -> String {
    var text = ""
    for tick in y.ticks {
      let place = fixed(y.place(tick), 1)
      text +=
        "<line x1=\"\(Self.left)\" x2=\"\(Self.width - right)\" y1=\"\(place)\" y2=\"\(place)\" "
        + "stroke=\"#dddddd\"/>\n"
        + label(Self.left - 8, y.place(tick) + 4, number(tick, of: y), anchor: "end")
    }
    let floor = Self.height - Self.bottom
    for (index, value) in table.variations[0].values.enumerated() {
      text += label(x.place(places[index]), floor + 18, value, anchor: "middle")
    }
    let middle = (Self.left + Self.width - right) / 2
    return text
      + "<line x1=\"\(Self.left)\" x2=\"\(Self.width - right)\" y1=\"\(floor)\" y2=\"\(floor)\" "
      + "stroke=\"black\"/>\n"
      + label(middle, floor + 40, table.variations[0].name, anchor: "middle")
      + "<text transform=\"translate(16 \((Self.top + floor) / 2)) rotate(-90)\" "
      + "text-anchor=\"middle\">\(escaped(unit))</text>\n"
  }

  /// The metric with its unit.
  private var unit: String {
    switch metric {
    case "artifact_bytes": "artifact, bytes"
    case "train_loss": "training loss, nats per token"
    case "gap": "quantised less float, bits per byte"
    default: "\(metric), bits per byte"
    }
  }

  private func number(_ value: Double, of axis: Axis) -> String {
    var digits = 0
    var range = axis.to - axis.from
    while range < 50, digits < 8 {
      range *= 10
      digits += 1
    }
    return fixed(value, digits)
  }

  private func line(
    _ settings: [StudySetting], _ color: String, _ x: Axis, _ y: Axis
  ) -> String {
    var (text, points) = ("", [(Double, Double)]())
    for setting in settings {
      let index = table.variations[0].values.firstIndex(of: setting.values[0].text)!
      let sample = table.sample(setting, metric)
      guard !sample.values.isEmpty else { continue }
      for value in sample.values {
        text +=
          "<circle cx=\"\(fixed(x.place(places[index]), 1))\" cy=\"\(fixed(y.place(value), 1))\" "
          + "r=\"3\" fill=\"\(color)\" fill-opacity=\"0.5\"/>\n"
      }
      points.append((x.place(places[index]), y.place(sample.mean)))
    }
    let path = points.sorted { $0.0 < $1.0 }.map { "\(fixed($0.0, 1)),\(fixed($0.1, 1))" }
    // Categories have no order in which a line would mean something.
    guard isNumeric else {
      return text
        + points.map {
          "<line x1=\"\(fixed($0.0 - 12, 1))\" x2=\"\(fixed($0.0 + 12, 1))\" y1=\"\(fixed($0.1, 1))\" "
            + "y2=\"\(fixed($0.1, 1))\" stroke=\"\(color)\" stroke-width=\"2\"/>\n"
        }.joined()
    }
    return text
      + "<polyline points=\"\(path.joined(separator: " "))\" fill=\"none\" stroke=\"\(color)\" "
      + "stroke-width=\"2\"/>\n"
  }

  private var legend: String {
    guard lines.count > 1 else { return "" }
    return lines.enumerated().map { index, line in
      let y = Self.top + 12 + 18 * Double(index)
      let x = Self.width - right + 16
      return "<rect x=\"\(x)\" y=\"\(y - 9)\" width=\"10\" height=\"10\" "
        + "fill=\"\(Self.colors[index % Self.colors.count])\"/>\n"
        + label(x + 16, y, line.name, anchor: "start")
    }.joined()
  }

  private func label(_ x: Double, _ y: Double, _ text: String, anchor: String) -> String {
    "<text x=\"\(fixed(x, 1))\" y=\"\(fixed(y, 1))\" text-anchor=\"\(anchor)\">\(escaped(text))</text>\n"
  }

  private func escaped(_ text: String) -> String {
    text.replacing("&", with: "&amp;").replacing("<", with: "&lt;").replacing(">", with: "&gt;")
  }
}
