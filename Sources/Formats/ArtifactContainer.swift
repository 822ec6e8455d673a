// SPDX-License-Identifier: Apache-2.0
// The .gca file: graph text and compressed tensor groups, nothing that the graph already says.

/// An artifact: the canonical graph text and the groups of quantised weights.
///
/// Layout, little-endian: magic `GRAPHC-A`, u32 version, u32 size of the graph text, u32 stored
/// size, the text (a zstd frame when that is smaller, else plain: then both sizes are equal),
/// u32 group count; per group u16 name length, name, u32 stored size, zstd frame; SHA-256 of all
/// bytes before it. Sizes of the groups' contents are not stored: they follow from the graph.
public struct ArtifactContainer: Sendable, Equatable {
  /// One class of tensors; its content is compressed as one frame.
  public struct Group: Sendable, Equatable {
    public let name: String
    /// The zstd frame as stored.
    public let frame: [UInt8]
  }

  public static let magic = Array("GRAPHC-A".utf8)
  public static let version: UInt32 = 1
  /// Longest graph text that a reader accepts.
  public static let largestGraph = 1 << 24
  static let largestFile = 1 << 31

  /// The canonical graph text.
  public let graph: [UInt8]
  /// Groups in file order.
  public let groups: [Group]
  /// Where it was read from; only serves errors.
  private let file: String?

  /// Compresses groups, keeping their order.
  public init(
    graph: [UInt8], groups: [(name: String, content: [UInt8])], level: Int32 = Zstd.ultra
  ) throws(FormatError) {
    guard graph.count <= ArtifactContainer.largestGraph else {
      throw FormatError(.usage, "the graph text has \(graph.count) bytes, too many for an artifact")
    }
    var frames: [Group] = []
    for group in groups {
      guard !frames.contains(where: { $0.name == group.name }), !group.name.isEmpty,
        group.name.utf8.count <= UInt16.max
      else {
        throw FormatError(.usage, "group name \"\(group.name)\" is empty, too long or used twice")
      }
      frames.append(Group(name: group.name, frame: try Zstd.compress(group.content, level: level)))
    }
    self.graph = graph
    self.groups = frames
    file = nil
  }

  /// The bytes of the file.
  public func encoded() throws(FormatError) -> [UInt8] {
    let squeezed = try Zstd.compress(graph)
    let stored = squeezed.count < graph.count ? squeezed : graph
    var bytes = ArtifactContainer.magic
    bytes.append(littleEndian: ArtifactContainer.version)
    bytes.append(littleEndian: UInt32(graph.count))
    bytes.append(littleEndian: UInt32(stored.count))
    bytes += stored
    bytes.append(littleEndian: UInt32(groups.count))
    for group in groups {
      guard let size = UInt32(exactly: group.frame.count) else {
        throw FormatError(.usage, "group \(group.name) is larger than 4 GiB")
      }
      bytes.append(littleEndian: UInt16(group.name.utf8.count))
      bytes += group.name.utf8
      bytes.append(littleEndian: size)
      bytes += group.frame
    }
    return bytes + SHA256.digest(bytes)
  }

  /// Writes the file and returns its size.
  @discardableResult
  public func write(_ path: String) throws(FormatError) -> Int {
    let bytes = try encoded()
    try AtomicFile.write(path, bytes)
    return bytes.count
  }

  /// Reads a file; the groups stay compressed until `contents` is told their sizes.
  public static func read(_ path: String) throws(FormatError) -> ArtifactContainer {
    try ArtifactContainer(bytes: try readFile(path, limit: largestFile), file: path)
  }

  /// Reads the bytes of a file.
  public init(bytes: [UInt8], file: String? = nil) throws(FormatError) {
    var reader = ByteReader(bytes, file: file)
    guard bytes.starts(with: ArtifactContainer.magic) else {
      throw FormatError(
        .corrupt, file: file, field: "magic", offset: 0,
        bytes.isEmpty ? "the file is empty" : "this is not a graphc artifact")
    }
    _ = try reader.take(ArtifactContainer.magic.count, "magic")
    let version = try reader.uint32("version")
    guard version == ArtifactContainer.version else {
      throw FormatError(
        .corrupt, file: file, field: "version", offset: 8,
        "found \(version), this graphc reads \(ArtifactContainer.version); use a newer graphc")
    }
    let graphCount = Int(try reader.uint32("graph size"))
    guard graphCount <= ArtifactContainer.largestGraph else {
      throw reader.error("graph size", "\(graphCount) is above the limit")
    }
    let storedCount = Int(try reader.uint32("stored graph size"))
    let stored = Array(try reader.take(storedCount, "graph"))
    let groupCount = Int(try reader.uint32("group count"))
    // Every group takes at least 7 bytes, so that a wild count cannot ask for memory.
    guard groupCount <= reader.remaining / 7 else {
      throw reader.error("group count", "\(groupCount) groups do not fit the file; it is cut off")
    }
    var groups: [Group] = []
    for index in 0..<groupCount {
      let nameCount = Int(try reader.uint16("name length of group \(index)"))
      let name = Array(try reader.take(nameCount, "name of group \(index)"))
      guard firstInvalidUTF8(name) == nil, nameCount > 0 else {
        throw reader.error("name of group \(index)", "empty or not UTF-8")
      }
      let text = String(decoding: name, as: UTF8.self)
      guard !groups.contains(where: { $0.name == text }) else {
        throw reader.error("name of group \(index)", "\"\(text)\" appears twice")
      }
      let frameCount = Int(try reader.uint32("size of group \(text)"))
      groups.append(Group(name: text, frame: Array(try reader.take(frameCount, "group \(text)"))))
    }
    let hashed = reader.offset
    let digest = Array(try reader.take(SHA256.byteCount, "SHA-256"))
    guard reader.remaining == 0 else {
      throw reader.error("end", "\(reader.remaining) bytes follow the artifact")
    }
    guard SHA256.digest(bytes[..<hashed]) == digest else {
      throw FormatError(
        .corrupt, file: file, field: "SHA-256", offset: hashed,
        "the bytes do not match their hash; the artifact is damaged: copy or pack it again")
    }
    do {
      graph =
        storedCount == graphCount
        ? stored : try Zstd.decompress(stored, expectedSize: graphCount)
    } catch {
      throw error.at(file: file ?? "artifact")
    }
    (self.groups, self.file) = (groups, file)
  }

  /// The contents of all groups. `expectedSize` gives the size that the graph demands, or nil for
  /// a group that the graph does not know.
  public func contents(
    expectedSize: (String) -> Int?
  ) throws(FormatError) -> [String: [UInt8]] {
    var result: [String: [UInt8]] = [:]
    for group in groups {
      guard let size = expectedSize(group.name) else {
        throw FormatError(
          .corrupt, file: file, field: "group \(group.name)", "the graph has no such group")
      }
      do {
        result[group.name] = try Zstd.decompress(group.frame, expectedSize: size)
      } catch {
        throw FormatError(
          .corrupt, file: file, field: "group \(group.name)", offset: error.offset, error.message)
      }
    }
    return result
  }
}
