// SPDX-License-Identifier: Apache-2.0
// The .gca file: graph text and compressed tensor groups, nothing that the graph already says.

/// An artifact: the canonical graph text and the groups of quantised weights.
///
/// Layout, little-endian: magic `GRAPHC-A`, u32 version, u32 size of the graph text, u8 coder of the
/// text (255: as it is; else as of groups: 0 zstd, 1 xz), u32 stored size, the text, u32 group count;
/// per group u16 name length, name, u8 coder (`StoredGroup.Coder`), u32 stored size, frame; SHA-256 of
/// all bytes before it. Sizes of the groups' contents are not stored: they follow from the graph.
///
/// Version 1, which is read, has no coders: groups are zstd frames, and so is a text whose stored size
/// is not its own.
public struct ArtifactContainer: Sendable, Equatable {
  /// A class of tensors before it is stored: matrices of codes, whose order is that of their codes in
  /// `content`, or other numbers.
  public struct Content: Sendable {
    public let name: String
    public let content: [UInt8]
    public let matrices: [CodeMatrix]

    public init(name: String, content: [UInt8], matrices: [CodeMatrix] = []) {
      (self.name, self.content, self.matrices) = (name, content, matrices)
    }
  }

  public static let magic = Array("GRAPHC-A".utf8)
  /// The version that is written; older ones are read.
  public static let version: UInt32 = 2
  /// Longest graph text that a reader accepts.
  public static let largestGraph = 1 << 24
  static let largestFile = 1 << 31

  /// The canonical graph text.
  public let graph: [UInt8]
  /// Groups in file order.
  public let groups: [StoredGroup]
  /// The version of the file that it was read from.
  public let version: UInt32
  /// Where it was read from; only serves errors.
  private let file: String?

  private static let plainText: UInt8 = 255

  /// Compresses groups, keeping their order, as many at once as there are processors.
  public init(
    graph: [UInt8], groups: [Content], level: Int32 = Zstd.ultra
  ) throws(FormatError) {
    try self.init(
      graph: graph,
      storedGroups: try concurrently(groups) { (group) throws(FormatError) in
        try StoredGroup(
          name: group.name, content: group.content, matrices: group.matrices, level: level)
      })
  }

  /// Takes groups as they are stored.
  public init(graph: [UInt8], storedGroups groups: [StoredGroup]) throws(FormatError) {
    guard graph.count <= ArtifactContainer.largestGraph else {
      throw FormatError(.usage, "the graph text has \(graph.count) bytes, too many for an artifact")
    }
    var names: Set<String> = []
    for group in groups {
      guard names.insert(group.name).inserted, !group.name.isEmpty,
        group.name.utf8.count <= UInt16.max
      else {
        throw FormatError(.usage, "group name \"\(group.name)\" is empty, too long or used twice")
      }
    }
    self.groups = groups
    self.graph = graph
    version = ArtifactContainer.version
    file = nil
  }

  /// The bytes of the file, in the version that is written.
  public func encoded() throws(FormatError) -> [UInt8] {
    let text = try StoredGroup(name: "graph", content: graph, matrices: [])
    let isSmaller = text.frame.count < graph.count
    let stored = isSmaller ? text.frame : graph
    var bytes = ArtifactContainer.magic
    bytes.append(littleEndian: ArtifactContainer.version)
    bytes.append(littleEndian: UInt32(graph.count))
    bytes.append(isSmaller ? text.coder.rawValue : ArtifactContainer.plainText)
    bytes.append(littleEndian: UInt32(stored.count))
    bytes += stored
    bytes.append(littleEndian: UInt32(groups.count))
    for group in groups {
      guard let size = UInt32(exactly: group.frame.count) else {
        throw FormatError(.usage, "group \(group.name) is larger than 4 GiB")
      }
      bytes.append(littleEndian: UInt16(group.name.utf8.count))
      bytes += group.name.utf8
      bytes.append(group.coder.rawValue)
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
    version = try reader.uint32("version")
    guard (1...ArtifactContainer.version).contains(version) else {
      throw FormatError(
        .corrupt, file: file, field: "version", offset: 8,
        "found \(version), this graphc reads 1 to \(ArtifactContainer.version); use a newer graphc")
    }
    let hasCoders = version > 1
    let graphCount = Int(try reader.uint32("graph size"))
    guard graphCount <= ArtifactContainer.largestGraph else {
      throw reader.error("graph size", "\(graphCount) is above the limit")
    }
    let textCoder = hasCoders ? try reader.uint8("graph coder") : nil
    let storedCount = Int(try reader.uint32("stored graph size"))
    let stored = Array(try reader.take(storedCount, "graph"))
    let groupCount = Int(try reader.uint32("group count"))
    // Every group of version 1 takes at least 7 bytes, so that a wild count cannot ask for memory.
    guard groupCount <= reader.remaining / 7 else {
      throw reader.error("group count", "\(groupCount) groups do not fit the file; it is cut off")
    }
    var groups: [StoredGroup] = []
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
      var coder = StoredGroup.Coder.zstd
      if hasCoders {
        let number = try reader.uint8("coder of group \(text)")
        guard let known = StoredGroup.Coder(rawValue: number) else {
          throw reader.error("coder of group \(text)", "\(number) is none")
        }
        coder = known
      }
      let frameCount = Int(try reader.uint32("size of group \(text)"))
      let frame = Array(try reader.take(frameCount, "group \(text)"))
      groups.append(StoredGroup(name: text, coder: coder, frame: frame))
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
    do throws(FormatError) {
      if storedCount == graphCount,
        textCoder ?? ArtifactContainer.plainText == ArtifactContainer.plainText
      {
        graph = stored
      } else {
        guard let coder = StoredGroup.Coder(rawValue: textCoder ?? 0) else {
          throw FormatError(
            .corrupt, field: "graph coder", "the text has another size, or no coder")
        }
        let text = StoredGroup(name: "graph", coder: coder, frame: stored)
        graph = try text.content(GroupShape(bytes: graphCount)).bytes
      }
    } catch {
      throw error.at(file: file ?? "artifact")
    }
    (self.groups, self.file) = (groups, file)
  }

  /// The content of a group, and what of its frame each matrix takes, if its coder can say.
  public struct Unpacked: Sendable, Equatable {
    public let bytes: [UInt8]
    /// In bits, a number for each matrix.
    public let bits: [Double]?
  }

  /// The contents of all groups, as many at once as there are processors. `shape` gives what the graph
  /// demands of a group, or nil for one that it does not know.
  public func contents(
    shape: (String) -> GroupShape?
  ) throws(FormatError) -> [String: Unpacked] {
    var shapes: [(group: StoredGroup, shape: GroupShape)] = []
    for group in groups {
      guard let shape = shape(group.name) else {
        throw FormatError(
          .corrupt, file: file, field: "group \(group.name)", "the graph has no such group")
      }
      shapes.append((group, shape))
    }
    let contents = try concurrently(shapes) { (item) throws(FormatError) in
      do throws(FormatError) {
        let (bytes, bits) = try item.group.content(item.shape)
        return Unpacked(bytes: bytes, bits: bits)
      } catch {
        throw FormatError(
          error.kind, file: file, field: "group \(item.group.name)", offset: error.offset,
          error.message)
      }
    }
    return Dictionary(uniqueKeysWithValues: zip(groups.map(\.name), contents))
  }
}
